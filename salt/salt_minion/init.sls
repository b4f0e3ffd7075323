{#- The minion that applies these states: its configuration and its unit. -#}
{%- from 'salt_minion/map.jinja' import minion with context %}
include:
  - salt_release

salt-minion-config:
  file.managed:
    - name: /etc/salt/minion
    - source: salt://salt_minion/files/minion.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        minion: {{ minion | tojson }}

salt-minion-log-directory:
  file.directory:
    - name: /var/log/salt-minion
    - user: root
    - group: root
    - mode: '0700'

salt-minion-logrotate:
  file.managed:
    - name: /etc/logrotate.d/salt-minion
    - source: salt://salt_minion/files/logrotate
    - user: root
    - group: root
    - mode: '0644'

salt-minion-unit:
  file.managed:
    - name: /etc/systemd/system/salt-minion.service
    - source: salt://salt_minion/files/salt-minion.service
    - user: root
    - group: root
    - mode: '0644'

salt-minion-restart:
  insync_salt.restarted_when_idle:
    - name: salt-minion
    - require:
      - file: salt-restart-command
      - file: salt-restart-unit
    - watch:
      - insync_salt: salt-release
      - file: salt-minion-config
      - file: salt-minion-unit

salt-minion-service:
  service.running:
    - name: salt-minion
    - enable: True
    - require:
      - insync_salt: salt-minion-restart
      - file: salt-minion-log-directory
