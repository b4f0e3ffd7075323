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

{#- Not purged: that would take the logs too. Last: what wants a web server would get another one while it is there. #}
nginx-absent-package:
  insync_package.absent:
    - pkgs: [nginx, nginx-common]
    - order: last
    - require:
      - insync_unit: nginx-absent-unit

{#- Copies of requests and answers on their way. #}
nginx-absent-spool:
  file.absent:
    - name: /var/lib/nginx
    - require:
      - insync_package: nginx-absent-package

{#- Not removed: its package would not bring it back, and does not install without it. Once that is purged it is not there. #}
nginx-absent-config:
  file.managed:
    - name: /etc/nginx/nginx.conf
    - contents: |
        # Managed by Salt (component nginx): this server has no site.
        events {}
    - user: root
    - group: root
    - mode: '0644'
    - create: False
    - require:
      - insync_package: nginx-absent-package

{#- With what is not ours: the purge takes all of it along. #}
{%- for folder in ['/etc/nginx', '/var/log/nginx'] %}

nginx-absent-{{ folder }}:
  insync_data.kept:
    - name: {{ folder }}
    - package: nginx-common
{%- endfor %}
{%- endif %}
