{#- One timezone everywhere; the clock is set here unless pillar says that something else sets it. -#}
{%- from 'clock/map.jinja' import clock with context %}

clock-package:
  pkg.installed:
    - pkgs: [tzdata]

clock-timezone:
  timezone.system:
    - name: {{ clock.timezone }}
    - require:
      - pkg: clock-package

{%- if clock.sync %}

clock-sync-package:
  pkg.installed:
    - pkgs: [systemd-timesyncd]

clock-sync:
  service.running:
    - name: systemd-timesyncd
    - enable: True
    - require:
      - pkg: clock-sync-package
{%- endif %}
