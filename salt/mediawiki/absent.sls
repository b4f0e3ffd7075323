{#- The server is no wiki any more. Pages and images stay in /var/lib/mediawiki, and what was exported in the bucket. -#}
{%- from 'mediawiki/map.jinja' import packages with context %}

mediawiki-absent-unit:
  insync_unit.absent:
    - name: mediawiki

{#- What PHP's packages have in common cleans up after sessions, by a timer that would stay. #}
mediawiki-absent-package:
  insync_package.absent:
    - pkgs: {{ (packages + ['php-common']) | tojson }}
    - require:
      - insync_unit: mediawiki-absent-unit

mediawiki-absent-files:
  file.absent:
    - names:
      - /etc/mediawiki
      - /usr/local/lib/insync-mediawiki
      - /var/lib/mediawiki/cache
    - require:
      - insync_package: mediawiki-absent-package

mediawiki-absent-data:
  insync_data.kept:
    - name: /var/lib/mediawiki
