{#- Counters, locks and caches: TLS only, users with as few rights as they need, every write on disk before its answer. -#}
{%- from 'redis/map.jinja' import listen, redis with context %}

redis-package:
  pkg.installed:
    - pkgs: [redis-server]

redis-check:
  file.managed:
    - name: /usr/local/sbin/insync-redis-check
    - source: salt://redis/files/check
    - user: root
    - group: root
    - mode: '0755'

{#- Certificate and key in one file change together. #}
redis-tls:
  file.managed:
    - name: /etc/redis/tls.pem
    - source: salt://redis/files/tls.pem.j2
    - template: jinja
    - user: root
    - group: redis
    - mode: '0440'
    - show_changes: False
    - check_cmd: /usr/local/sbin/insync-redis-check tls
    - require:
      - pkg: redis-package
      - file: redis-check

redis-users:
  file.managed:
    - name: /etc/redis/users.conf
    - source: salt://redis/files/users.conf.j2
    - template: jinja
    - user: root
    - group: redis
    - mode: '0640'
    - show_changes: False
    - check_cmd: /usr/local/sbin/insync-redis-check config
    - require:
      - pkg: redis-package
      - file: redis-check

{#- Beside the package's redis.conf, which stays as it is: a changed one would hold back unattended upgrades. #}
redis-config:
  file.managed:
    - name: /etc/redis/insync.conf
    - source: salt://redis/files/insync.conf.j2
    - template: jinja
    - user: root
    - group: redis
    - mode: '0640'
    - check_cmd: /usr/local/sbin/insync-redis-check config
    - context:
        listen: {{ listen | tojson }}
        redis: {{ redis | tojson }}
    - require:
      - file: redis-users

redis-begin-append-only:
  file.managed:
    - name: /usr/local/sbin/insync-redis-begin-append-only
    - source: salt://redis/files/begin-append-only
    - user: root
    - group: root
    - mode: '0755'

redis-unit:
  file.managed:
    - name: /etc/systemd/system/redis-server.service.d/insync.conf
    - source: salt://redis/files/unit.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        redis: {{ redis | tojson }}

redis-memory:
  file.managed:
    - name: /etc/sysctl.d/60-redis.conf
    - source: salt://redis/files/sysctl.conf
    - user: root
    - group: root
    - mode: '0644'

{#- By its unit, which leaves a container's kernel alone. #}
redis-memory-now:
  cmd.run:
    - name: systemctl restart systemd-sysctl
    - onchanges:
      - file: redis-memory

redis-service:
  insync_unit.running:
    - name: redis-server
    - require:
      - file: redis-begin-append-only
    - watch:
      - file: redis-tls
      - file: redis-users
      - file: redis-config
      - file: redis-unit
