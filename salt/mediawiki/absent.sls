{#- The server is no wiki any more. Pages and images stay in /var/lib/mediawiki, and what was exported in the bucket. -#}

mediawiki-absent-unit:
  insync_unit.absent:
    - name: mediawiki

mediawiki-absent-package:
  pkg.removed:
    - pkgs: [mediawiki, mediawiki-classes]
    - require:
      - insync_unit: mediawiki-absent-unit

mediawiki-absent-php:
  pkg.removed:
    - pkgs:
      - php
      - php-common
      - php-intl
      - php-mbstring
      - php-xml
      - php8.2
      - php8.2-cli
      - php8.2-common
      - php8.2-fpm
      - php8.2-intl
      - php8.2-mbstring
      - php8.2-opcache
      - php8.2-readline
      - php8.2-sqlite3
      - php8.2-xml
    - require:
      - pkg: mediawiki-absent-package

mediawiki-absent-files:
  file.absent:
    - names:
      - /etc/mediawiki
      - /usr/local/lib/insync-mediawiki
      - /var/lib/mediawiki/cache
    - require:
      - pkg: mediawiki-absent-package
