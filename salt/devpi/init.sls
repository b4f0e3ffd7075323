{#- The private package index: devpi on loopback, its users and indexes, behind nginx. -#}
{%- from 'devpi/map.jinja' import data, devpi, listen, logins, program, root_secret with context %}
{%- set url = 'http://' ~ listen.address ~ ':' ~ listen.port %}
include:
  - nginx

devpi-virtualenv:
  insync_venv.installed:
    - name: {{ program }}
    - lock: salt://devpi/files/requirements.txt
    - index: {{ devpi.upstream | tojson }}
    - proxy: {{ devpi.proxy | tojson }}

{#- A change of the plugin needs no new virtualenv: devpi finds it on its PYTHONPATH. #}
devpi-plugin:
  file.recurse:
    - name: /usr/local/lib/insync-devpi
    - source: salt://devpi/files/plugin
    - clean: True
    - user: root
    - group: root
    - dir_mode: '0755'
    - file_mode: '0644'

devpi-user:
  user.present:
    - name: devpi
    - system: True
    - usergroup: True
    - home: /var/lib/devpi
    - createhome: False
    - shell: /usr/sbin/nologin

devpi-folder:
  file.directory:
    - name: /var/lib/devpi
    - user: devpi
    - group: devpi
    - mode: '0700'
    - require:
      - user: devpi-user

devpi-data:
  insync_devpi.initialised:
    - name: {{ data }}
    - program: {{ program }}
    - user: devpi
    - password: {{ root_secret }}
    - require:
      - insync_venv: devpi-virtualenv
      - file: devpi-folder

devpi-unit:
  file.managed:
    - name: /etc/systemd/system/devpi.service
    - source: salt://devpi/files/devpi.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        data: {{ data }}
        devpi: {{ devpi | tojson }}
        listen: {{ listen | tojson }}
        program: {{ program }}

devpi-service:
  insync_unit.running:
    - name: devpi
    - require:
      - insync_devpi: devpi-data
    - watch:
      - insync_venv: devpi-virtualenv
      - file: devpi-plugin
      - file: devpi-unit

devpi-users:
  insync_devpi.users:
    - name: {{ url }}
    - passwords: {{ dict(logins, **{devpi.owner: None}) | tojson }}
    - data: {{ data }}
    - program: {{ program }}
    - require:
      - insync_unit: devpi-service

{#- Without the list of its hundreds of thousands of projects the mirror needs a sixth of the memory. #}
{%- set mirror = {'type': 'mirror', 'volatile': False, 'mirror_no_project_list': True} %}
{%- set public = {'mirror_url': devpi.upstream} if devpi.upstream else {} %}
{%- set own = {'type': 'stage', 'volatile': False, 'acl_toxresult_upload': []} %}
{%- do own.update(mirror_whitelist=[], mirror_whitelist_inheritance='intersection') %}
{%- set indexes = {'root/pypi': dict(mirror, **public)} %}
{%- for index, declared in devpi.indexes.items() %}
{%- do indexes.update({devpi.owner ~ '/' ~ index: dict(own, bases=declared.bases, acl_upload=declared.uploaders)}) %}
{%- endfor %}
{%- for name, settings in indexes.items() %}

devpi-index-{{ name }}:
  insync_devpi.index:
    - name: {{ name }}
    - url: {{ url }}
    - password: {{ root_secret }}
    - settings: {{ settings | tojson }}
    - data: {{ data }}
    - program: {{ program }}
    - require:
      - insync_devpi: devpi-users
    - require_in:
      - insync_unit: nginx-service
{%- endfor %}
