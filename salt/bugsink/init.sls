{#- Bugsink, which speaks Sentry's protocol: what takes events in, what works on them, and its place behind nginx. -#}
{%- from 'bugsink/map.jinja' import bugsink, data, host, library, listen, password, program, reads, settings, units, url with context %}
{%- from 'package_index/map.jinja' import ca, index with context %}
include:
  - nginx
  - package_index

bugsink-user:
  user.present:
    - name: bugsink
    - system: True
    - usergroup: True
    - home: {{ data }}
    - createhome: False
    - shell: /usr/sbin/nologin

bugsink-folder:
  file.directory:
    - name: {{ data }}
    - user: bugsink
    - group: bugsink
    - mode: '0700'
    - require:
      - user: bugsink-user

{#- What our states and units do with its database, in its own terms. #}
bugsink-library:
  file.recurse:
    - name: {{ library }}
    - source: salt://bugsink/files/lib
    - clean: True
    - user: root
    - group: root
    - dir_mode: '0755'
    - file_mode: '0644'

bugsink-key:
  file.managed:
    - name: {{ settings }}/django_key
    - source: salt://bugsink/files/django_key.j2
    - template: jinja
    - user: root
    - group: bugsink
    - mode: '0640'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
    - backup: none
    - require:
      - user: bugsink-user

bugsink-settings:
  file.managed:
    - name: {{ settings }}/bugsink_conf.py
    - source: salt://bugsink/files/bugsink_conf.py.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/bin/python3 -B {{ library }}/check_settings.py {{ program }}
    - context:
        bugsink: {{ bugsink | tojson }}
        data: {{ data }}
        host: {{ host }}
        settings: {{ settings }}
        url: {{ url }}
    - require:
      - file: bugsink-key
      - file: bugsink-library

{%- for unit in units + ['bugsink-retention'] %}

bugsink-unit-{{ unit }}:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}.service
    - source: salt://bugsink/files/service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        bugsink: {{ bugsink | tojson }}
        data: {{ data }}
        listen: {{ listen | tojson }}
        program: {{ program }}
        settings: {{ settings }}
        unit: {{ unit }}
    - require_in:
      - insync_bugsink: bugsink-release
{%- endfor %}

bugsink-release:
  insync_bugsink.released:
    - name: {{ program }}
    - lock: salt://bugsink/files/requirements.txt
    - index: {{ index }}
    - ca: {{ ca }}
    - data: {{ data }}
    - settings: {{ settings }}
    - script: {{ library }}/databases.py
    - units: {{ units | tojson }}
    - require:
      - file: bugsink-folder
      - file: bugsink-settings
      - file: fleet-ca-certificate

bugsink-accounts:
  insync_bugsink.provisioned:
    - name: {{ program }}
    - data: {{ data }}
    - settings: {{ settings }}
    - script: {{ library }}/provision.py
    - admin: {{ bugsink.admin }}
    - password: {{ password }}
    - token: {{ reads }}
    - team: {{ bugsink.team }}
    - projects: {{ bugsink.projects | tojson }}
    - require:
      - insync_bugsink: bugsink-release

{%- for unit in units %}

bugsink-service-{{ unit }}:
  insync_unit.running:
    - name: {{ unit }}
    - require:
      - insync_bugsink: bugsink-release
    - watch:
      - file: bugsink-unit-{{ unit }}
      - file: bugsink-key
      - file: bugsink-settings
{%- endfor %}

bugsink-timer:
  file.managed:
    - name: /etc/systemd/system/bugsink-retention.timer
    - source: salt://bugsink/files/retention.timer
    - user: root
    - group: root
    - mode: '0644'

bugsink-timer-running:
  service.running:
    - name: bugsink-retention.timer
    - enable: True
    - watch:
      - file: bugsink-unit-bugsink-retention
      - file: bugsink-timer
