{#- Logs survive a restart and never fill the disk. -#}
{%- from 'journal/map.jinja' import journal with context %}

journal-config:
  file.managed:
    - name: /etc/systemd/journald.conf.d/insync.conf
    - source: salt://journal/files/journald.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        journal: {{ journal | tojson }}

journal-service:
  service.running:
    - name: systemd-journald
    - watch:
      - file: journal-config

journal-logrotate-package:
  pkg.installed:
    - pkgs: [logrotate]

journal-logrotate-timer:
  service.running:
    - name: logrotate.timer
    - enable: True
    - require:
      - pkg: journal-logrotate-package
