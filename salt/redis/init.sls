{#- Instances of redis: TLS only, users with as few rights as they need; what each keeps, and where, is its own affair. -#}
{%- from 'redis/map.jinja' import address, adopts, instances, ports with context %}

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
    - backup: none
    - check_cmd: /usr/local/sbin/insync-redis-check tls
    - require:
      - pkg: redis-package
      - file: redis-check

redis-begin-append-only:
  file.managed:
    - name: /usr/local/sbin/insync-redis-begin-append-only
    - source: salt://redis/files/begin-append-only
    - user: root
    - group: root
    - mode: '0755'

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

{%- for name, instance in instances | dictsort %}

redis-{{ name }}-users:
  file.managed:
    - name: /etc/redis/users-{{ name }}.conf
    - source: salt://redis/files/users.conf.j2
    - template: jinja
    - user: root
    - group: redis
    - mode: '0640'
    - show_changes: False
    - backup: none
    - check_cmd: /usr/local/sbin/insync-redis-check config
    - context:
        users: {{ instance.users | tojson }}
    - require:
      - pkg: redis-package
      - file: redis-check

redis-{{ name }}-config:
  file.managed:
    - name: /etc/redis/redis-{{ name }}.conf
    - source: salt://redis/files/redis.conf.j2
    - template: jinja
    - user: root
    - group: redis
    - mode: '0640'
    - check_cmd: /usr/local/sbin/insync-redis-check config
    - context:
        name: {{ name }}
        address: {{ address }}
        port: {{ ports[name] }}
        instance: {{ instance | tojson }}
    - require:
      - file: redis-{{ name }}-users
      - file: redis-{{ name }}-data

redis-{{ name }}-data:
  file.directory:
    - name: /var/lib/redis/{{ name }}
    - user: redis
    - group: redis
    - mode: '0750'
    - require:
      - pkg: redis-package

redis-{{ name }}-unit:
  file.managed:
    - name: /etc/systemd/system/redis-server@{{ name }}.service.d/insync.conf
    - source: salt://redis/files/unit.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        instance: {{ instance | tojson }}

redis-{{ name }}-service:
  insync_unit.running:
    - name: redis-server@{{ name }}
    - require:
      - file: redis-begin-append-only
      - file: redis-check
      - file: redis-{{ name }}-data
      - insync_redis: redis-adopted
      - insync_redis: redis-declared
    - watch:
      - file: redis-tls
      - file: redis-{{ name }}-users
      - file: redis-{{ name }}-config
      - file: redis-{{ name }}-unit
{%- endfor %}

{#- One that is declared no more may have the port, or the data, of one that is new: it stops before that one starts, and only once
    that can. #}
redis-declared:
  insync_redis.declared:
    - name: redis-server@*.service
    - instances: {{ instances | list | tojson }}
    - data: /var/lib/redis
    - require:
      - file: redis-tls
{%- for name in instances | sort %}
      - file: redis-{{ name }}-config
      - file: redis-{{ name }}-unit
{%- endfor %}

{#- Debian starts a redis without users on 127.0.0.1. It is stopped only once what goes on in its place is ready. #}
redis-adopted:
  insync_redis.adopted:
    - name: /var/lib/redis/{{ adopts }}
    - source: /var/lib/redis
    - unit: redis-server
    - require:
      - file: redis-tls
      - file: redis-{{ adopts }}-config
      - file: redis-{{ adopts }}-data
      - file: redis-{{ adopts }}-unit

{#- Of the time when it ran alone. #}
redis-former:
  file.absent:
    - names:
      - /etc/redis/insync.conf
      - /etc/redis/users.conf
      - /etc/systemd/system/redis-server.service.d
    - require:
      - insync_redis: redis-adopted
