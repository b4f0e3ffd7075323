{#- MediaWiki, read-only: its settings, a PHP of its own behind nginx, and a database where there is none. -#}
{%- from 'mediawiki/map.jinja' import cache, data, fpm, home, images, mediawiki, name, packages, settings, socket, user with context %}
include:
  - nginx

{#- With all named at once apt takes nginx and php-fpm for what MediaWiki asks of a web server, not Apache. By itself: what is
    installed in one go with others is installed as the first of them wants it. #}
mediawiki-packages:
  pkg.installed:
    - pkgs: {{ (packages + ['nginx']) | tojson }}
    - install_recommends: False
    - aggregate: False

{#- Its master runs as root and listens for others; MediaWiki's own is the unit below. #}
mediawiki-debian-fpm:
  service.dead:
    - name: php{{ fpm }}-fpm
    - enable: False
    - require:
      - insync_mediawiki: mediawiki-database

mediawiki-cache:
  file.directory:
    - name: {{ cache }}
    - user: {{ user }}
    - group: {{ user }}
    - mode: '0700'
    - require:
      - pkg: mediawiki-packages

{#- Pages are never touched: where a database is, this does nothing. A wiki that somebody set up by hand goes on, as it is, with
    the PHP and the nginx that it has: this fails, and what would take them away waits for it. #}
mediawiki-database:
  insync_mediawiki.installed:
    - name: {{ data }}
    - program: {{ home }}
    - settings: {{ settings }}
    - user: {{ user }}
    - sitename: {{ mediawiki.sitename | tojson }}
    - server: https://{{ name }}
    - require:
      - pkg: mediawiki-packages
    - require_in:
      - file: nginx-config

mediawiki-settings:
  file.managed:
    - name: {{ settings }}
    - source: salt://mediawiki/files/LocalSettings.php.j2
    - template: jinja
    - user: root
    - group: {{ user }}
    - mode: '0640'
    - show_changes: False
    - backup: none
    - check_cmd: php -l
    - require:
      - insync_mediawiki: mediawiki-database

{#- For root at the command line, such as an import; nothing that answers requests reads it. #}
mediawiki-writable-settings:
  file.managed:
    - name: /etc/mediawiki/writable.php
    - source: salt://mediawiki/files/writable.php.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: php -l
    - context:
        settings: {{ settings }}
    - require:
      - pkg: mediawiki-packages

mediawiki-export:
  file.managed:
    - name: /usr/local/lib/insync-mediawiki/export.php
    - source: salt://mediawiki/files/export.php
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - check_cmd: php -l
    - require:
      - pkg: mediawiki-packages

mediawiki-fpm-config:
  file.managed:
    - name: /etc/mediawiki/php-fpm.conf
    - source: salt://mediawiki/files/php-fpm.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: php-fpm{{ fpm }} --test --fpm-config
    - context:
        mediawiki: {{ mediawiki | tojson }}
        socket: {{ socket }}
        user: {{ user }}
    - require:
      - pkg: mediawiki-packages

mediawiki-unit:
  file.managed:
    - name: /etc/systemd/system/mediawiki.service
    - source: salt://mediawiki/files/mediawiki.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        cache: {{ cache }}
        fpm: '{{ fpm }}'
        mediawiki: {{ mediawiki | tojson }}
        user: {{ user }}

mediawiki-service:
  insync_unit.running:
    - name: mediawiki
    - require:
      - file: mediawiki-cache
      - insync_mediawiki: mediawiki-database
    - watch:
      - file: mediawiki-fpm-config
      - file: mediawiki-settings
      - file: mediawiki-unit
