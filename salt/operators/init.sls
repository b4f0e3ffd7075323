{#- The people who may enter: exactly those in pillar, with exactly those keys; who has left is removed. -#}
{%- from 'operators/map.jinja' import operators with context %}

operators-packages:
  pkg.installed:
    - pkgs: [sudo]

operators-group:
  group.present:
    - name: operators
    - gid: 2000

{%- for group, gid in [('ops', 1998), ('admin', 1999)] %}

operators-group-{{ group }}:
  group.present:
    - name: {{ group }}
    - gid: {{ gid }}
{%- endfor %}

{%- for name, operator in operators | dictsort %}

operators-{{ name }}:
  user.present:
    - name: {{ name }}
    - uid: {{ operator.uid }}
    - gid: operators
    - groups: {{ operator.groups | tojson }}
    - shell: /bin/bash
    - require:
      - group: operators-group
      - group: operators-group-ops
      - group: operators-group-admin

operators-{{ name }}-keys:
  file.managed:
    - name: /home/{{ name }}/.ssh/authorized_keys
    - contents: {{ operator['keys'] | tojson }}
    - user: {{ name }}
    - group: operators
    - mode: '0600'
    - makedirs: True
    - dir_mode: '0700'
    - require:
      - user: operators-{{ name }}
{%- endfor %}

operators-leavers:
  insync_operators.only:
    - name: operators
    - users: {{ operators | list | sort | tojson }}
    - groups: [ops, admin]

operators-sudo:
  file.managed:
    - name: /etc/sudoers.d/operators
    - source: salt://operators/files/sudoers
    - user: root
    - group: root
    - mode: '0440'
    - check_cmd: visudo -cf
    - require:
      - pkg: operators-packages
