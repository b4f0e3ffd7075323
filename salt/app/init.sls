{#- The applications of this server: a user, settings, credentials, a unit, and a first release where there is none. -#}
{%- from 'app/map.jinja' import address, apps, ca, first_releases, index, ports, settings, slots, verbs with context %}
include:
  - package_index
{%- for name, app in apps.items() %}
{%- set user = 'insync-' ~ name | replace('_', '-') %}
{%- set first = first_releases[name] | default({'lock': '', 'slot': ''}) %}

app-{{ name }}-user:
  user.present:
    - name: {{ user }}
    - system: True
    - usergroup: True
    - home: /nonexistent
    - createhome: False
    - shell: /usr/sbin/nologin

app-{{ name }}-folder:
  file.directory:
    - name: /etc/insync/{{ name }}
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True

app-{{ name }}-credentials:
  file.directory:
    - name: /etc/insync/{{ name }}/credentials
    - user: root
    - group: root
    - mode: '0700'
    - require:
      - file: app-{{ name }}-folder

{%- for credential, reference in app.credentials.items() %}

app-{{ name }}-credential-{{ credential }}:
  file.managed:
    - name: /etc/insync/{{ name }}/credentials/{{ credential }}
    - source: salt://app/files/credential.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - show_changes: False
    - backup: none
    - context: {reference: '{{ reference }}'}
    - require:
      - file: app-{{ name }}-credentials
    - watch_in:
      - insync_release: app-{{ name }}-release
{%- endfor %}

app-{{ name }}-settings:
  file.managed:
    - name: /etc/insync/{{ name }}/settings.json
    - contents: {{ settings(app) | tojson }}
    - user: root
    - group: {{ user }}
    - mode: '0640'
    - show_changes: False
    - backup: none
    - require:
      - file: app-{{ name }}-folder
      - user: app-{{ name }}-user

app-{{ name }}-unit:
  file.managed:
    - name: /etc/systemd/system/{{ name }}{{ '@' if name in slots }}.service
    - source: salt://app/files/app.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        address: {{ address }}
        app: {{ app | tojson }}
        name: {{ name }}
        slotted: {{ name in slots }}
        user: {{ user }}

{#- What the release verbs have to know of it here. #}
app-{{ name }}-verbs:
  file.managed:
    - name: /etc/insync/{{ name }}/release.json
    - contents: {{ verbs(name, app) | tojson }}
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - file: app-{{ name }}-folder

{#- From the first start on the release is the release verbs' business: this starts what is stopped, and moves nothing. #}
app-{{ name }}-release:
  insync_release.serving:
    - name: {{ name }}
    - lock: {{ first.lock | tojson }}
    - slot: {{ first.slot | tojson }}
    - link: {{ app.virtualenv }}
    - slots: {{ ports(name, app) }}
    - index: {{ index }}
    - ca: {{ ca }}
    - require:
      - file: fleet-ca-certificate
    - watch:
      - file: app-{{ name }}-settings
      - file: app-{{ name }}-unit
{%- endfor %}
