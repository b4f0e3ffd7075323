{#- Backups of the database, made of a replica and encrypted before they leave it. -#}
{%- from 'mariadb/map.jinja' import backup, record with context %}

{#- automysqlbackup wants a mailer, which wants a mail server: one that is no daemon. By itself: what is installed in one go
    with others is installed as the first of them wants it. #}
mariadb-backup-packages:
  pkg.installed:
    - pkgs: [age, automysqlbackup, bsd-mailx, msmtp-mta]
    - install_recommends: False
    - aggregate: False
    - require:
      - pkg: mariadb-package

{#- It would run without the checks around it, and say that all went well when the server is down. #}
mariadb-backup-no-cron:
  file.absent:
    - name: /etc/cron.daily/automysqlbackup
    - require:
      - pkg: mariadb-backup-packages

mariadb-backup-config:
  file.managed:
    - name: /etc/default/automysqlbackup
    - source: salt://mariadb/files/automysqlbackup
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: bash -n
    - require:
      - pkg: mariadb-backup-packages

mariadb-backup-unit:
  file.managed:
    - name: /etc/systemd/system/mariadb-backup@.service
    - source: salt://mariadb/files/backup.service
    - user: root
    - group: root
    - mode: '0644'
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
      - file: mariadb-backup-{{ kind }}
    - require:
      - file: mariadb-backup-config
      - file: mariadb-backup-unit
      - insync_db: mariadb-replication
{%- endfor %}

{#- Red in every run while there is no good one that is new enough. #}
mariadb-backup-fresh:
  insync_backup.fresh:
    - name: {{ record }}
    - hours: {{ backup.hours | tojson }}
    - require:
      - insync_db: mariadb-replication
