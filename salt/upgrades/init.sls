{#- Security updates install themselves every day. -#}
{%- from 'upgrades/map.jinja' import upgrades with context %}

upgrades-package:
  pkg.installed:
    - pkgs: [unattended-upgrades]

upgrades-config:
  file.managed:
    - name: /etc/apt/apt.conf.d/52insync-upgrades
    - source: salt://upgrades/files/upgrades.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: apt-config dump -c
    - context:
        upgrades: {{ upgrades | tojson }}

{%- for timer in ['apt-daily.timer', 'apt-daily-upgrade.timer'] %}

upgrades-{{ timer }}:
  service.running:
    - name: {{ timer }}
    - enable: True
    - require:
      - pkg: upgrades-package
{%- endfor %}
