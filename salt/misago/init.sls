{#- Misago, a forum: its web server, what works in the background, a redis of its own, and its place behind nginx. -#}
{%- from 'misago/map.jinja' import data, database, engine, group, host, library, misago, password, program, redis_socket, settings, units, web_socket with context %}
{%- from 'package_index/map.jinja' import ca, index with context %}
{%- if engine == 'misago' %}
include:
  - nginx
  - package_index
  - postgresql

{#- By itself: what is installed in one go with others is installed as the first of them wants it. #}
misago-packages:
  pkg.installed:
    - pkgs: [redis-server]
    - install_recommends: False
    - aggregate: False

{#- Debian's listens on 127.0.0.1, where anybody on this server may read; Misago's own is a unit below. #}
misago-debian-redis:
  service.dead:
    - name: redis-server
    - enable: False
    - require:
      - pkg: misago-packages

misago-user:
  user.present:
    - name: misago
    - system: True
    - usergroup: True
    - home: {{ data }}
    - createhome: False
    - shell: /usr/sbin/nologin

misago-folder:
  file.directory:
    - names:
      - {{ data }}
      - {{ data }}/media
    - user: misago
    - group: {{ group }}
    - mode: '0750'
    - require:
      - user: misago-user

{#- What our states and units do with it, in its own terms. #}
misago-library:
  file.recurse:
    - name: {{ library }}
    - source: salt://misago/files/lib
    - clean: True
    - user: root
    - group: root
    - dir_mode: '0755'
    - file_mode: '0644'

misago-key:
  file.managed:
    - name: {{ settings }}/django_key
    - source: salt://misago/files/django_key.j2
    - template: jinja
    - user: root
    - group: misago
    - mode: '0640'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
    - backup: none
    - require:
      - user: misago-user

misago-smtp-password:
  file.managed:
    - name: {{ settings }}/smtp_password
    - source: salt://misago/files/smtp_password.j2
    - template: jinja
    - user: root
    - group: misago
    - mode: '0640'
    - show_changes: False
    - backup: none
    - require:
      - file: misago-key

misago-settings:
  file.managed:
    - name: {{ settings }}/misago_conf.py
    - source: salt://misago/files/misago_conf.py.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/bin/python3 -B {{ library }}/check_settings.py {{ program }}
    - context:
        data: {{ data }}
        database: {{ database }}
        host: {{ host }}
        mail: {{ misago.mail | tojson }}
        redis_socket: {{ redis_socket }}
        settings: {{ settings }}
    - require:
      - file: misago-key
      - file: misago-library
      - file: misago-smtp-password

misago-redis-settings:
  file.managed:
    - name: {{ settings }}/redis.conf
    - source: salt://misago/files/redis.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        data: {{ data }}
        misago: {{ misago | tojson }}
        redis_socket: {{ redis_socket }}
    - require:
      - file: misago-key

{%- for unit in ['misago-redis', 'misago-daily'] + units %}

misago-unit-{{ unit }}:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}.service
    - source: salt://misago/files/service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        data: {{ data }}
        group: {{ group }}
        library: {{ library }}
        misago: {{ misago | tojson }}
        program: {{ program }}
        settings: {{ settings }}
        unit: {{ unit }}
        web_socket: {{ web_socket }}
    - require_in:
      - insync_misago: misago-release
{%- endfor %}

misago-redis:
  insync_unit.running:
    - name: misago-redis
    - require:
      - file: misago-folder
      - service: misago-debian-redis
    - watch:
      - file: misago-redis-settings
      - file: misago-unit-misago-redis

misago-release:
  insync_misago.released:
    - name: {{ program }}
    - lock: salt://misago/files/requirements.txt
    - index: {{ index }}
    - ca: {{ ca }}
    - data: {{ data }}
    - settings: {{ settings }}
    - database: {{ database }}
    - units: {{ units | tojson }}
    - require:
      - file: fleet-ca-certificate
      - file: misago-folder
      - file: misago-settings
      - insync_unit: misago-redis
      - insync_unit: postgresql-service

misago-declared:
  insync_misago.provisioned:
    - name: {{ program }}
    - data: {{ data }}
    - settings: {{ settings }}
    - database: {{ database }}
    - script: {{ library }}/provision.py
    - admin: {{ misago.admin | tojson }}
    - password: {{ password }}
    - values:
        account_activation: {{ misago.registration }}
        # Drawn here, not asked for elsewhere with a digest of the user's address.
        default_avatar: dynamic
        forum_address: https://{{ host }}
        forum_name: {{ misago.name | tojson }}
        logo_text: {{ misago.name | tojson }}
    - require:
      - insync_misago: misago-release

{%- for unit in units %}

misago-service-{{ unit }}:
  insync_unit.running:
    - name: {{ unit }}
    - require:
      - insync_misago: misago-release
    - watch:
      - file: misago-key
      - file: misago-settings
      - file: misago-smtp-password
      - file: misago-unit-{{ unit }}
{%- endfor %}

misago-timer:
  file.managed:
    - name: /etc/systemd/system/misago-daily.timer
    - source: salt://misago/files/daily.timer
    - user: root
    - group: root
    - mode: '0644'

misago-timer-running:
  service.running:
    - name: misago-daily.timer
    - enable: True
    - watch:
      - file: misago-timer
      - file: misago-unit-misago-daily
{%- endif %}
