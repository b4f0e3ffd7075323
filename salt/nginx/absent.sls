{#- nginx of a server that has no site any more; one that has keeps it, without those that left. -#}
{%- from 'nginx/map.jinja' import private, sites with context %}
include:
  - acme.absent
{%- if not sites.public %}

nginx-absent-certificate-hook:
  file.absent:
    - name: /etc/letsencrypt/renewal-hooks/deploy/nginx
{%- endif %}
{%- if not sites.private %}

nginx-absent-private-certificate:
  file.absent:
    - names:
      - {{ private.certificate }}
      - {{ private.key }}
{%- endif %}
{%- if not sites.public and not sites.private %}

nginx-absent-unit:
  insync_unit.absent:
    - name: nginx

{#- Not purged: that would take the logs too. #}
nginx-absent-package:
  pkg.removed:
    - pkgs: [nginx, nginx-common]
    - require:
      - insync_unit: nginx-absent-unit

nginx-absent-config:
  file.absent:
    - name: /etc/nginx/nginx.conf
    - require:
      - pkg: nginx-absent-package
{%- endif %}
