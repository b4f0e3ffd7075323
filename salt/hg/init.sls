{#- Mercurial repositories: by https through hgweb behind nginx, with passwords, and by ssh with a key for each repository. Both
    work as one user, who owns the repositories and nothing else. -#}
{%- from 'hg/map.jinja' import config, data, hg, keys, library, passwords, repositories, settings, socket, user with context %}
include:
  - nginx

hg-packages:
  pkg.installed:
    - pkgs: [gunicorn, mercurial]
    - install_recommends: False

{#- sshd runs the forced command of a key by the user's shell. #}
hg-user:
  user.present:
    - name: {{ user }}
    - system: True
    - usergroup: True
    - home: {{ data }}
    - createhome: False
    - shell: /bin/sh

{#- It is root's: what is served is declared, not made by who comes in. #}
hg-folder:
  file.directory:
    - name: {{ data }}
    - user: root
    - group: {{ user }}
    - mode: '0750'
    - require:
      - user: hg-user

hg-settings:
  file.managed:
    - name: /etc/mercurial/hgrc.d/insync.rc
    - source: salt://hg/files/insync.rc
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - pkg: hg-packages

hg-repositories:
  insync_hg.repositories:
    - name: {{ data }}
    - repositories: {{ repositories | list | tojson }}
    - user: {{ user }}
    - require:
      - file: hg-folder
      - file: hg-settings
{%- for name, repository in repositories.items() %}

hg-rights-{{ name }}:
  file.managed:
    - name: {{ data }}/{{ name }}/.hg/hgrc
    - source: salt://hg/files/hgrc.j2
    - template: jinja
    - user: root
    - group: {{ user }}
    - mode: '0640'
    - context:
        keys: {{ keys }}
        repository: {{ repository | tojson }}
    - require:
      - insync_hg: hg-repositories
    - require_in:
      - file: hg-config
      - file: hg-keys
{%- endfor %}

hg-check-passwords:
  file.managed:
    - name: {{ library }}/check-passwords
    - source: salt://hg/files/check-passwords
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True

hg-passwords:
  file.managed:
    - name: {{ passwords }}
    - source: salt://hg/files/passwords.j2
    - template: jinja
    - user: root
    - group: www-data
    - mode: '0640'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
    - backup: none
    - check_cmd: {{ library }}/check-passwords
    - require:
      - file: hg-check-passwords

hg-application:
  file.managed:
    - name: {{ library }}/insync_hgweb.py
    - source: salt://hg/files/insync_hgweb.py
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True

hg-config:
  file.managed:
    - name: {{ config }}
    - source: salt://hg/files/hgweb.config.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        data: {{ data }}
        repositories: {{ repositories | list | tojson }}
    - require:
      - file: hg-passwords

{%- for kind in ['socket', 'service'] %}

hg-unit-{{ kind }}:
  file.managed:
    - name: /etc/systemd/system/hgweb.{{ kind }}
    - source: salt://hg/files/hgweb.{{ kind }}.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        data: {{ data }}
        hg: {{ hg | tojson }}
        library: {{ library }}
        socket: {{ socket }}
        user: {{ user }}
{%- endfor %}

hg-socket:
  service.running:
    - name: hgweb.socket
    - enable: True
    - require:
      - file: hg-unit-service
    - watch:
      - file: hg-unit-socket

hg-service:
  insync_unit.running:
    - name: hgweb
    - require:
      - service: hg-socket
      - insync_hg: hg-repositories
    - watch:
      - file: hg-application
      - file: hg-config
      - file: hg-settings
      - file: hg-unit-service

hg-keys:
  file.managed:
    - name: {{ keys }}
    - source: salt://hg/files/keys.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        data: {{ data }}
        repositories: {{ repositories | tojson }}
    - require:
      - file: hg-passwords

{#- Part of sshd's settings: as with those, a change is tried, and taken back if it lets nobody in. #}
hg-sshd:
  file.managed:
    - name: /etc/ssh/sshd_config.d/hg.conf
    - source: salt://hg/files/sshd.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - check_cmd: /usr/local/sbin/insync-sshd-change begin /etc/ssh/sshd_config.d/hg.conf
    - context:
        keys: {{ keys }}
        user: {{ user }}
    - require:
      - file: hg-keys
      - pkg: sshd-package
      - file: sshd-rollback-timer
      - file: sshd-rollback-at-boot
    - watch_in:
      - insync_unit: sshd-service
      - insync_sshd: sshd-confirmed
