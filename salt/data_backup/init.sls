{#- Every night what the roles of this server declare as their data goes, encrypted, where only adding is allowed. -#}
{%- from 'data_backup/map.jinja' import hours, record, store with context %}
{%- if hours %}

data-backup-package:
  pkg.installed:
    - pkgs: [restic]

data-backup-unit:
  file.managed:
    - name: /etc/systemd/system/data-backup.service
    - source: salt://data_backup/files/backup.service
    - user: root
    - group: root
    - mode: '0644'

data-backup-timer-unit:
  file.managed:
    - name: /etc/systemd/system/data-backup.timer
    - source: salt://data_backup/files/backup.timer.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        time: '{{ store.time }}'
        spread: '{{ store.spread }}'

data-backup-timer:
  insync_unit.running:
    - name: data-backup.timer
    - watch:
      - file: data-backup-timer-unit
    - require:
      - file: data-backup-unit
      - pkg: data-backup-package

{#- Red in every run while there is no good one that is new enough. #}
data-backup-fresh:
  insync_backup.fresh:
    - name: {{ record }}
    - hours: {{ hours | tojson }}
{%- else %}

data-backup-no-timer:
  insync_unit.absent:
    - name: data-backup.timer

data-backup-no-unit:
  insync_unit.absent:
    - name: data-backup

data-backup-no-package:
  insync_package.absent:
    - pkgs: [restic]
    - require:
      - insync_unit: data-backup-no-unit

{#- If data comes again, its hours begin anew. What was done stays in the records, and the backups in the bucket. #}
data-backup-no-record:
  file.absent:
    - names: [{{ record }}, /var/cache/insync-backup, /var/lib/insync-backup]
    - require:
      - insync_unit: data-backup-no-unit
{%- endif %}
