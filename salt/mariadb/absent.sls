{#- The server has no database any more. The data stays in /var/lib/mysql, with the user mysql whose it is. -#}
{%- set timers = ['mariadb-backup-binlogs.timer', 'mariadb-backup-logical.timer', 'mariadb-backup-physical.timer'] %}
{%- for unit in timers + ['mariadb-backup@', 'mariadb-primary', 'mariadb-donor.socket', 'mariadb'] %}

mariadb-absent-{{ unit }}:
  insync_unit.absent:
    - name: {{ unit }}
{%- endfor %}

mariadb-absent-packages:
  insync_package.absent:
    - pkgs:
      - age
      - automysqlbackup
      - bsd-mailx
      - mariadb-backup
      - mariadb-client
      - mariadb-client-core
      - mariadb-server
      - mariadb-server-core
      - msmtp
      - msmtp-mta
      - zstd
    - require:
      - insync_unit: mariadb-absent-mariadb

mariadb-absent-files:
  file.absent:
    - names:
      - /etc/default/automysqlbackup
      - /etc/mysql/donor.sha256
      - /etc/mysql/mariadb.conf.d/70-insync.cnf
      - /etc/mysql/mariadb.conf.d/71-insync-role.cnf
      - /etc/mysql/tls.pem
      - /etc/systemd/system/mariadb-donor@.service
      - /usr/local/sbin/insync-mariadb-donor
      - /usr/local/sbin/insync-mariadb-primary
      - /usr/local/sbin/insync-mariadb-role
    - require:
      - insync_package: mariadb-absent-packages

mariadb-absent-user:
  insync_user.absent:
    - name: mysql
    - data: [/var/lib/mysql]
    - require:
      - insync_package: mariadb-absent-packages
