{#- Buildbot: the master that polls and decides, the worker that holds the passwords and runs nothing of what was pushed, and a
    unit for each build, which runs it. -#}
{%- import 'buildbot/map.jinja' as map with context %}
{%- set users = [map.user, map.worker_user] %}
{%- set secrets = ['hgrc', 'worker'] + (['upload'] if map.publishes else []) %}
include:
  - nginx
  - package_index

buildbot-packages:
  pkg.installed:
    - pkgs: [mercurial]
    - install_recommends: False

{%- if not map.hg_name %}

{#- All else stays in step, and every highstate says what is missing. #}
buildbot-no-repositories:
  test.fail_without_changes:
    - name: 'no server has the role hg_server, so nothing is built: give it to one, or let this server leave its own'
{%- endif %}

buildbot-virtualenv:
  insync_venv.installed:
    - name: {{ map.program }}
    - lock: salt://buildbot/files/requirements.txt
    - index: {{ map.installs_from }}
    - ca: {{ map.ca }}
    - require:
      - file: fleet-ca-certificate

buildbot-library:
  file.recurse:
    - name: {{ map.library }}
    - source: salt://buildbot/files/lib
    - clean: True
    - user: root
    - group: root
    - dir_mode: '0755'
    - file_mode: '0644'
{%- for user in users %}

buildbot-user-{{ user }}:
  user.present:
    - name: {{ user }}
    - system: True
    - usergroup: True
    - home: {{ map.data if user == map.user else map.cache }}
    - createhome: False
    - shell: /usr/sbin/nologin
{%- endfor %}

buildbot-settings:
  file.directory:
    - name: {{ map.settings }}
    - user: root
    - group: root
    - mode: '0755'

buildbot-credentials:
  file.directory:
    - name: {{ map.credentials }}
    - user: root
    - group: root
    - mode: '0700'
    - require:
      - file: buildbot-settings
{%- for name in secrets %}

buildbot-secret-{{ name }}:
  file.managed:
    - name: {{ map.credentials }}/{{ name }}
    - source: salt://buildbot/files/{{ 'hgrc' if name == 'hgrc' else 'password' }}.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - show_changes: False
    - backup: none
    - context:
        which: {{ name }}
    - require:
      - file: buildbot-credentials
    - require_in:
      - file: buildbot-config
    - watch_in:
      - insync_unit: buildbot-service-buildbot-worker
      {%- if name != 'upload' %}
      - insync_unit: buildbot-service-buildbot
      {%- endif %}
{%- endfor %}
{%- if not map.publishes %}

{#- One that has become a server that publishes nothing keeps no password to do so. #}
buildbot-secret-upload:
  file.absent:
    - name: {{ map.credentials }}/upload
{%- endif %}

buildbot-people-check:
  file.managed:
    - name: /usr/local/lib/insync-buildbot-check/people
    - source: salt://hg/files/check-passwords
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True

buildbot-people:
  file.managed:
    - name: {{ map.people_file }}
    - source: salt://buildbot/files/people.j2
    - template: jinja
    - user: root
    - group: www-data
    - mode: '0640'
    - show_changes: False
    - backup: none
    - check_cmd: /usr/local/lib/insync-buildbot-check/people
    - require:
      - file: buildbot-settings
      - file: buildbot-people-check
      - pkg: nginx-package
    - require_in:
      - insync_unit: nginx-service

buildbot-config:
  file.managed:
    - name: {{ map.settings }}/master.cfg
    - source: salt://buildbot/files/master.cfg.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/bin/env PYTHONDONTWRITEBYTECODE=1 {{ map.program }}/bin/buildbot checkconfig --quiet
    - require:
      - insync_venv: buildbot-virtualenv
      - file: buildbot-library
{%- for path, template in map.files.items() %}

buildbot-file-{{ path.split('/') | last }}:
  file.managed:
    - name: {{ path }}
    - source: salt://buildbot/files/{{ template }}.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        unit: {{ path.split('/') | last | replace('.service', '') }}
    - require:
      - file: buildbot-config
{%- endfor %}

buildbot-socket:
  service.running:
    - name: buildbot-job.socket
    - enable: True
    - require:
      - user: buildbot-user-{{ map.worker_user }}
      - file: buildbot-file-buildbot-job@.service
    - watch:
      - file: buildbot-file-buildbot-job.socket

buildbot-service-buildbot:
  insync_unit.running:
    - name: buildbot
    - require:
      - pkg: buildbot-packages
      - pkg: nginx-package
      - user: buildbot-user-{{ map.user }}
    - watch:
      - insync_venv: buildbot-virtualenv
      - file: buildbot-library
      - file: buildbot-config
      - file: buildbot-file-master.tac
      - file: buildbot-file-buildbot.service

buildbot-service-buildbot-worker:
  insync_unit.running:
    - name: buildbot-worker
    - require:
      - insync_unit: buildbot-service-buildbot
      - service: buildbot-socket
    - watch:
      - insync_venv: buildbot-virtualenv
      - file: buildbot-file-worker.tac
      - file: buildbot-file-buildbot-worker.service
