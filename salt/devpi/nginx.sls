{#- What the network sees of the package index: TLS, and only what installers and builds need. -#}
{%- from 'devpi/map.jinja' import address, devpi, host, listen, port, tls with context %}

devpi-nginx-package:
  pkg.installed:
    - pkgs: [nginx]

devpi-nginx-certificate:
  file.managed:
    - name: /etc/nginx/insync.crt
    - contents: {{ tls.certificate | tojson }}
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - pkg: devpi-nginx-package

devpi-nginx-key:
  file.managed:
    - name: /etc/nginx/insync.key
    - source: salt://devpi/files/nginx.key.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - show_changes: False
    - require:
      - pkg: devpi-nginx-package

devpi-nginx-config:
  file.managed:
    - name: /etc/nginx/nginx.conf
    - source: salt://devpi/files/nginx.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/sbin/nginx -q -t -c
    - context:
        address: {{ address }}
        devpi: {{ devpi | tojson }}
        host: {{ host }}
        listen: {{ listen | tojson }}
        port: {{ port }}
    - require:
      - file: devpi-nginx-certificate
      - file: devpi-nginx-key

devpi-nginx-unit:
  file.managed:
    - name: /etc/systemd/system/nginx.service.d/insync.conf
    - source: salt://devpi/files/nginx.service.conf
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True

{#- The default site listens on port 80; it is not included any more, and should mislead nobody. #}
devpi-nginx-default-site:
  file.absent:
    - name: /etc/nginx/sites-enabled/default
    - require:
      - pkg: devpi-nginx-package

devpi-nginx-service:
  insync_unit.running:
    - name: nginx
    - watch:
      - file: devpi-nginx-certificate
      - file: devpi-nginx-config
      - file: devpi-nginx-key
      - file: devpi-nginx-unit
