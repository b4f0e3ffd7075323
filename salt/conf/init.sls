{#- What the conf server tells the applications; jt loads it with a token that only root can read. -#}
{%- from 'conf/map.jinja' import conf, jt, reaches with context %}

conf-token:
  file.managed:
    - name: /etc/insync/jt/token
    - source: salt://app/files/credential.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
    - context: {reference: '{{ conf.admin_token.secret }}'}

conf-settings:
  file.managed:
    - name: /etc/insync/jt/settings.json
    - contents: {{ reaches | tojson }}
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - file: conf-token

{%- for namespace, declared in conf.namespaces.items() %}
{%- set load = conf.load | map('replace', '{namespace}', namespace) | list %}

conf-{{ namespace }}:
  insync_conf.loaded:
    - name: {{ namespace }}
    - declared: {{ declared | tojson }}
    - command: {{ ([jt] + load) | tojson }}
    - numbers: {{ conf.numbers | tojson }}
    - environment: {INSYNC_SETTINGS: /etc/insync/jt/settings.json, JT_TOKEN_FILE: /etc/insync/jt/token}
    - require:
      - file: conf-settings
      - insync_release: app-conf_server-release
{%- endfor %}
