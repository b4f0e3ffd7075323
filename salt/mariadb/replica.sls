{#- A replica: closed for writes; its data is the primary's, and nothing is declared here that comes by replication. -#}
{%- from 'mariadb/map.jinja' import data, databases, donor, listen, replica, socket, source with context %}
{%- import 'fleet_ca/map.jinja' as fleet_ca with context %}

include:
  - mariadb.backup

{#- Before the server is started with what may be half a copy, or nobody's. #}
mariadb-seeded:
  insync_db.seeded:
    - name: {{ data }}
    - socket: {{ socket }}
    - source: {{ source }}
    - port: {{ listen.port }}
    - donor_port: {{ donor.port }}
    - user: {{ replica.user }}
    - key: {{ replica.key }}
    - ca: {{ fleet_ca.file }}
    - require:
      - file: fleet-ca-certificate
      - file: mariadb-config
      - file: mariadb-role-config
      - file: mariadb-tls
      - file: mariadb-unit
    - require_in:
      - insync_unit: mariadb-service

mariadb-replication:
  insync_db.replica_of:
    - name: {{ socket }}
    - data: {{ data }}
    - databases: {{ databases | tojson }}
    - source: {{ source }}
    - port: {{ listen.port }}
    - user: {{ replica.user }}
    - key: {{ replica.key }}
    - ca: {{ fleet_ca.file }}
    - require:
      - insync_unit: mariadb-service

{#- Of a server that was the primary. #}
mariadb-no-primary:
  insync_unit.absent:
    - name: mariadb-primary

mariadb-no-donor:
  insync_unit.absent:
    - name: mariadb-donor.socket

mariadb-no-donor-unit:
  insync_unit.absent:
    - name: mariadb-donor@

mariadb-no-donor-files:
  file.absent:
    - names: [/etc/mysql/donor.sha256, /usr/local/sbin/insync-mariadb-donor]
    - require:
      - insync_unit: mariadb-no-donor-unit
