{#- What the conf server tells the applications; jt loads it with a token that only root can read. -#}
{%- from 'conf/map.jinja' import conf, current_versions, jt, reaches with context %}

conf-token:
  file.managed:
    - name: {{ conf.environment.JT_TOKEN_FILE }}
    - source: salt://app/files/credential.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
    - backup: none
    - context: {reference: '{{ conf.admin_token.secret }}'}

conf-settings:
  file.managed:
    - name: {{ conf.environment.INSYNC_SETTINGS }}
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
    - current_versions: {{ current_versions.declared | tojson }}
    - environment: {{ conf.environment | tojson }}
    - require:
      - file: conf-settings
      - insync_release: app-conf_server-release
{%- endfor %}
