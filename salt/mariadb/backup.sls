{#- Backups of the database, made of a replica and encrypted before they leave it. -#}
{%- from 'mariadb/map.jinja' import backup, record with context %}

include:
  - mariadb.backup_tools
{%- for kind, time in backup.times | dictsort %}

mariadb-backup-{{ kind }}:
  file.managed:
    - name: /etc/systemd/system/mariadb-backup-{{ kind }}.timer
    - source: salt://mariadb/files/backup.timer.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        kind: {{ kind }}
        time: '{{ time }}'

mariadb-backup-{{ kind }}-timer:
  insync_unit.running:
    - name: mariadb-backup-{{ kind }}.timer
    - watch:
      - file: mariadb-backup-unit
      - file: mariadb-backup-{{ kind }}
    - require:
      - file: mariadb-backup-config
      - insync_db: mariadb-replication
{%- endfor %}

{#- Red in every run while there is no good one that is new enough. #}
mariadb-backup-fresh:
  insync_backup.fresh:
    - name: {{ record }}
    - hours: {{ backup.hours | tojson }}
    - require:
      - insync_db: mariadb-replication
