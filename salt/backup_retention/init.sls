{#- Removes old backups every day; no server that makes them has a key for that. -#}
{%- from 'backup_retention/map.jinja' import time with context %}

backup-retention-unit:
  file.managed:
    - name: /etc/systemd/system/backup-retention.service
    - source: salt://backup_retention/files/retention.service
    - user: root
    - group: root
    - mode: '0644'

backup-retention-timer-unit:
  file.managed:
    - name: /etc/systemd/system/backup-retention.timer
    - source: salt://backup_retention/files/retention.timer.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        time: '{{ time }}'

backup-retention-timer:
  insync_unit.running:
    - name: backup-retention.timer
    - watch:
      - file: backup-retention-timer-unit
      - file: backup-retention-unit
