{#- Salt itself: the pinned release in a virtualenv of its own, and the programs of it that people and units start. -#}
{%- from 'salt_release/map.jinja' import release with context %}

salt-release:
  insync_salt.installed:
    - name: /opt/salt
    - release: {{ release }}
    - source: salt://salt_release/files/salt-{{ release }}.tar

{%- for command in ['salt', 'salt-call', 'salt-key', 'salt-minion', 'salt-run'] %}

salt-command-{{ command }}:
  file.managed:
    - name: /usr/local/bin/{{ command }}
    - source: salt://salt_release/files/command
    - user: root
    - group: root
    - mode: '0755'
{%- endfor %}

salt-restart-command:
  file.managed:
    - name: /usr/local/sbin/insync-restart-when-idle
    - source: salt://salt_release/files/restart-when-idle
    - user: root
    - group: root
    - mode: '0755'

salt-restart-unit:
  file.managed:
    - name: /etc/systemd/system/insync-restart@.service
    - source: salt://salt_release/files/insync-restart@.service
    - user: root
    - group: root
    - mode: '0644'
