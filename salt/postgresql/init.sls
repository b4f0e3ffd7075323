{#- PostgreSQL for what runs on this server: reached by its unix socket only, where the system's users are its users. -#}
{%- from 'postgresql/map.jinja' import postgresql, unit, version with context %}

{#- Debian makes the cluster when it installs the package; how, has to be there before. #}
postgresql-cluster-options:
  file.managed:
    - name: /etc/postgresql-common/createcluster.d/insync.conf
    - source: salt://postgresql/files/createcluster.conf
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - dir_mode: '0755'

{#- By itself: what is installed in one go with others is installed as the first of them wants it. #}
postgresql-package:
  pkg.installed:
    - pkgs: [postgresql-{{ version }}]
    - install_recommends: False
    - aggregate: False
    - require:
      - file: postgresql-cluster-options

postgresql-config:
  file.managed:
    - name: /etc/postgresql/{{ version }}/main/conf.d/insync.conf
    - source: salt://postgresql/files/postgresql.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: >-
        /bin/sh -c '/usr/lib/postgresql/{{ version }}/bin/postgres -C max_connections
        -D /var/lib/postgresql/{{ version }}/main --config-file="$0" >/dev/null'
    - context:
        postgresql: {{ postgresql | tojson }}
    - require:
      - pkg: postgresql-package

postgresql-unit:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}.service.d/insync.conf
    - source: salt://postgresql/files/unit.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        postgresql: {{ postgresql | tojson }}
        version: '{{ version }}'

postgresql-service:
  insync_unit.running:
    - name: {{ unit }}
    - watch:
      - file: postgresql-config
      - file: postgresql-unit
