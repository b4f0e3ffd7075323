{#- The server has no database any more. The data stays in /var/lib/mysql, with the user mysql whose it is. -#}
{%- set units = ['mariadb-primary', 'mariadb-donor.socket', 'mariadb'] %}
{%- for unit in units %}

mariadb-absent-{{ unit }}:
  insync_unit.absent:
    - name: {{ unit }}
{%- endfor %}

mariadb-absent-packages:
  pkg.removed:
    - pkgs: [mariadb-server, mariadb-server-core, mariadb-backup, mariadb-client, mariadb-client-core]
    - require:
      - insync_unit: mariadb-absent-mariadb

mariadb-absent-files:
  file.absent:
    - names:
      - /etc/mysql/donor.sha256
      - /etc/mysql/mariadb.conf.d/70-insync.cnf
      - /etc/mysql/mariadb.conf.d/71-insync-role.cnf
      - /etc/mysql/tls.pem
      - /etc/systemd/system/mariadb-donor@.service
      - /usr/local/sbin/insync-mariadb-donor
      - /usr/local/sbin/insync-mariadb-primary
    - require:
      - pkg: mariadb-absent-packages
