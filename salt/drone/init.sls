{#- Drone: the program at a URL, of which only the one with the right checksum is taken. Whatever goes wrong there, the one that
    runs is left alone. -#}
{%- from 'drone/map.jinja' import data, drone, environment, listen, program, settings with context %}
include:
  - nginx

drone-user:
  user.present:
    - name: drone
    - system: True
    - usergroup: True
    - home: {{ data }}
    - createhome: False
    - shell: /usr/sbin/nologin

{#- While the one with that checksum is there, nobody is asked. #}
drone-program:
  file.managed:
    - name: {{ program }}
    - source: {{ drone.url | tojson }}
    - source_hash: sha256={{ drone.sha256 }}
    - show_changes: False
    - backup: none
    - user: root
    - group: root
    - mode: '0755'

{%- for file in ['environment', 'secrets'] %}

drone-{{ file }}:
  file.managed:
    - name: {{ settings }}/{{ file }}
    - source: salt://drone/files/{{ file }}.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
    - backup: none
    - require:
      - file: drone-program
    - watch_in:
      - insync_unit: drone-service
{%- endfor %}

drone-unit:
  file.managed:
    - name: /etc/systemd/system/drone.service
    - source: salt://drone/files/drone.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - file: drone-program

drone-service:
  insync_unit.running:
    - name: drone
    - require:
      - user: drone-user
    - watch:
      - file: drone-program
      - file: drone-unit
