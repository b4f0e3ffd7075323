{#- The web sites of this server, public and private ones, behind one nginx. -#}
{%- from 'nginx/map.jinja' import certificates, challenge_port, acme_ids, private, sites, tls with context %}
{%- if sites.public %}
include:
  - acme
{%- endif %}

nginx-package:
  pkg.installed:
    - pkgs: [nginx]

{#- The default site listens on port 80; it is not included any more, and should mislead nobody. #}
nginx-default-site:
  file.absent:
    - name: /etc/nginx/sites-enabled/default
    - require:
      - pkg: nginx-package
{%- if sites.private %}

nginx-private-certificate:
  file.managed:
    - name: {{ private.certificate }}
    - contents: {{ tls.certificate | tojson }}
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - pkg: nginx-package
    - require_in:
      - file: nginx-config
    - watch_in:
      - insync_unit: nginx-service

nginx-private-key:
  file.managed:
    - name: {{ private.key }}
    - source: salt://nginx/files/private.key.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - show_changes: False
    - backup: none
    - require:
      - pkg: nginx-package
    - require_in:
      - file: nginx-config
    - watch_in:
      - insync_unit: nginx-service
{%- endif %}

nginx-config:
  file.managed:
    - name: /etc/nginx/nginx.conf
    - source: salt://nginx/files/nginx.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/sbin/nginx -q -t -c
    - context:
        challenge_port: {{ challenge_port }}
        sites: {{ sites | tojson }}
    - require:
      - pkg: nginx-package
      {%- for id in acme_ids if sites.public %}
      - insync_certificate: {{ id }}-self-signed
      {%- endfor %}

nginx-unit:
  file.managed:
    - name: /etc/systemd/system/nginx.service.d/insync.conf
    - source: salt://nginx/files/unit.conf
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True

nginx-service:
  insync_unit.running:
    - name: nginx
    - watch:
      - file: nginx-config
      - file: nginx-unit
{%- if sites.public %}

nginx-certificate-hook:
  file.managed:
    - name: /etc/letsencrypt/renewal-hooks/deploy/nginx
    - source: salt://nginx/files/install-certificate
    - template: jinja
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True
    - context:
        certificates: {{ certificates }}
    - require:
      - pkg: acme-package
      - insync_unit: nginx-service
    - require_in:
      {%- for id in acme_ids %}
      - insync_certificate: {{ id }}-certificate
      {%- endfor %}
{%- endif %}
