{#- Applications whose role this server has left. What they wrote into /var/lib/insync-<name> stays, with its user. -#}
{%- from 'app/map.jinja' import apps, left with context %}
include:
  - uv_cache.absent
{%- for name, virtualenv in left.items() %}
{%- set user = 'insync-' ~ name | replace('_', '-') %}

app-{{ name }}-absent-slots:
  insync_unit.absent:
    - name: {{ name }}@

app-{{ name }}-absent-unit:
  insync_unit.absent:
    - name: {{ name }}

app-{{ name }}-absent-virtualenv:
  insync_venv.absent:
    - name: {{ virtualenv }}
    - require:
      - insync_unit: app-{{ name }}-absent-slots
      - insync_unit: app-{{ name }}-absent-unit

{#- Settings and secrets; and the record of the release, which would promise a virtualenv that is gone. #}
app-{{ name }}-absent-files:
  file.absent:
    - names:
      - /etc/insync/{{ name }}
      - /var/lib/insync/{{ name }}/state.json
    - require:
      - insync_unit: app-{{ name }}-absent-slots
      - insync_unit: app-{{ name }}-absent-unit

{#- What it keeps for when the conf server is away is no data, and there are secrets in it. #}
app-{{ name }}-absent-user:
  insync_user.absent:
    - name: {{ user }}
    - data: [/var/lib/{{ user }}]
    - disposable: [conf.json]
    - require:
      - file: app-{{ name }}-absent-files
{%- endfor %}
{%- if left and apps is not defined %}

app-absent-data:
  insync_data.kept:
    - name: /insync
    - if_empty: True
{%- endif %}
