{#- What backups are made with: on either of a pair, so that a change of the primary needs no packages. -#}

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
