{#- The primary: open for writes; databases and accounts are declared here alone, and reach the replicas as all else does. -#}
{%- from 'mariadb/map.jinja' import accounts, databases, donor, host, listen, paired, replicas, socket with context %}

{%- if paired %}
include:
  - mariadb.backup_tools

mariadb-writable:
  insync_db.writable:
    - name: {{ socket }}
    - require:
      - insync_unit: mariadb-service
    - require_in:
      - insync_mysql: mariadb-databases
{#- Of a server that was a replica. #}
{%- for unit in ['mariadb-backup-binlogs.timer', 'mariadb-backup-logical.timer', 'mariadb-backup-physical.timer'] %}

mariadb-no-{{ unit }}:
  insync_unit.absent:
    - name: {{ unit }}
{%- endfor %}

mariadb-primary-program:
  file.managed:
    - name: /usr/local/sbin/insync-mariadb-primary
    - source: salt://mariadb/files/primary
    - user: root
    - group: root
    - mode: '0755'

mariadb-primary-unit:
  file.managed:
    - name: /etc/systemd/system/mariadb-primary.service
    - source: salt://mariadb/files/primary.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        name: {{ host }}
        replicas: {{ replicas | tojson }}

mariadb-primary-service:
  insync_unit.running:
    - name: mariadb-primary
    - watch:
      - file: mariadb-primary-program
      - file: mariadb-primary-unit
    - require:
      - insync_mysql: mariadb-databases
{%- endif %}

mariadb-databases:
  insync_mysql.databases:
    - name: {{ socket }}
    - databases: {{ databases | tojson }}
    - require:
      - insync_unit: mariadb-service

mariadb-accounts:
  insync_mysql.accounts:
    - name: {{ socket }}
    - accounts: {{ accounts | tojson }}
    - require:
      - insync_mysql: mariadb-databases

{#- What a blank replica is made from. #}
mariadb-donor-program:
  file.managed:
    - name: /usr/local/sbin/insync-mariadb-donor
    - source: salt://mariadb/files/donor
    - user: root
    - group: root
    - mode: '0755'

mariadb-donor-password:
  file.managed:
    - name: /etc/mysql/donor.sha256
    - source: salt://mariadb/files/donor.sha256.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0400'
    - show_changes: False
    - backup: none
    - require:
      - pkg: mariadb-package

mariadb-donor-unit:
  file.managed:
    - name: /etc/systemd/system/mariadb-donor@.service
    - source: salt://mariadb/files/donor.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'

mariadb-donor-socket:
  file.managed:
    - name: /etc/systemd/system/mariadb-donor.socket
    - source: salt://mariadb/files/donor.socket.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        address: {{ listen.address }}
        port: {{ donor.port }}

mariadb-donor-service:
  insync_unit.running:
    - name: mariadb-donor.socket
    - require:
      - file: mariadb-donor-program
      - file: mariadb-donor-password
      - file: mariadb-donor-unit
      - file: mariadb-tls
    - watch:
      - file: mariadb-donor-socket
