{#- The database: reached by declared accounts over TLS, every commit on disk and in the binary log before its answer. -#}
{%- from 'mariadb/map.jinja' import host, listen, mariadb, paired, primary, server_id, socket with context %}
include:
  - fleet_ca
{%- if primary %}
  - mariadb.primary
{%- else %}
  - mariadb.replica
{%- endif %}

mariadb-package:
  pkg.installed:
    - pkgs: [mariadb-server, mariadb-backup, zstd]

{#- Certificate and key in one file change together. #}
mariadb-tls:
  file.managed:
    - name: /etc/mysql/tls.pem
    - source: salt://mariadb/files/tls.pem.j2
    - template: jinja
    - user: root
    - group: mysql
    - mode: '0440'
    - show_changes: False
    - backup: none
    - check_cmd: /opt/salt/bin/python -c 'import ssl, sys; ssl.create_default_context().load_cert_chain(sys.argv[1])'
    - require:
      - pkg: mariadb-package

{#- A wrong value of a storage engine is an error that mariadbd does not end with; its datadir is in use. #}
mariadb-config:
  file.managed:
    - name: /etc/mysql/mariadb.conf.d/70-insync.cnf
    - source: salt://mariadb/files/insync.cnf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: >-
        /bin/sh -c '! /usr/sbin/mariadbd --defaults-file="$0" --datadir=/nonexistent --help --verbose 2>&1 >/dev/null |
        grep -E "ERROR|recognized"'
    - context:
        listen: {{ listen | tojson }}
        mariadb: {{ mariadb | tojson }}
        paired: {{ paired }}
        server_id: {{ server_id }}
        socket: {{ socket }}
    - require:
      - pkg: mariadb-package

{#- What it is read for: the first start after a crash. No reason to restart. #}
mariadb-role-config:
  file.managed:
    - name: /etc/mysql/mariadb.conf.d/71-insync-role.cnf
    - source: salt://mariadb/files/role.cnf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        primary: {{ primary }}
    - require:
      - pkg: mariadb-package
{%- if paired %}

mariadb-role-program:
  file.managed:
    - name: /usr/local/sbin/insync-mariadb-role
    - source: salt://mariadb/files/role
    - user: root
    - group: root
    - mode: '0755'
    - require_in:
      - file: mariadb-unit
{%- endif %}

mariadb-unit:
  file.managed:
    - name: /etc/systemd/system/mariadb.service.d/insync.conf
    - source: salt://mariadb/files/unit.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        mariadb: {{ mariadb | tojson }}
        name: {{ host }}
        paired: {{ paired }}

mariadb-service:
  insync_unit.running:
    - name: mariadb
    - watch:
      - file: mariadb-config
      - file: mariadb-tls
      - file: mariadb-unit
