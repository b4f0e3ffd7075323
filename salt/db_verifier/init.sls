{#- Restores the newest backup of the database every day, in a server of its own that nobody reaches, and removes it again. -#}
{%- from 'db_verifier/map.jinja' import record, user, verifier with context %}

{#- The program alone: no server is set up, and none starts by itself. By itself: what is installed in one go with others is
    installed as the first of them wants it. #}
db-verifier-packages:
  pkg.installed:
    - pkgs: [age, mariadb-backup, mariadb-client, mariadb-server-core, zstd]
    - install_recommends: False
    - aggregate: False

db-verifier-user:
  user.present:
    - name: {{ user }}
    - system: True
    - home: /nonexistent
    - createhome: False
    - shell: /usr/sbin/nologin

db-verifier-unit:
  file.managed:
    - name: /etc/systemd/system/db-verifier.service
    - source: salt://db_verifier/files/verifier.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        verifier: {{ verifier | tojson }}

db-verifier-timer-unit:
  file.managed:
    - name: /etc/systemd/system/db-verifier.timer
    - source: salt://db_verifier/files/verifier.timer.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        verifier: {{ verifier | tojson }}

db-verifier-timer:
  insync_unit.running:
    - name: db-verifier.timer
    - watch:
      - file: db-verifier-timer-unit
      - file: db-verifier-unit
    - require:
      - pkg: db-verifier-packages
      - user: db-verifier-user

{#- Red in every run while no good backup was restored lately. #}
db-verifier-fresh:
  insync_backup.fresh:
    - name: {{ record }}
    - hours: {{ verifier.hours | tojson }}
