{#- The way from the internet to the release slots. A change is checked, then reloaded; haproxy is never restarted, and which
    slot is in use (active.map) belongs to the releases. -#}
{%- from 'haproxy/map.jinja' import active, challenge_port, endpoints, haproxy, listen, names, peers, pools, preview, serving_slots with context %}
{%- from 'acme/map.jinja' import certificate with context %}

haproxy-save-servers:
  file.managed:
    - name: /usr/local/sbin/insync-save-servers
    - source: salt://haproxy/files/save-servers
    - user: root
    - group: root
    - mode: '0755'

haproxy-keep-maintenance:
  file.managed:
    - name: /usr/local/sbin/insync-keep-maintenance
    - source: salt://haproxy/files/keep-maintenance
    - user: root
    - group: root
    - mode: '0755'

haproxy-unit:
  file.managed:
    - name: /etc/systemd/system/haproxy.service.d/insync.conf
    - source: salt://haproxy/files/unit.conf.j2
    - template: jinja
    - context:
        memory_max: {{ haproxy.memory_max }}
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - require:
      - file: haproxy-keep-maintenance
      - file: haproxy-save-servers

{#- Debian starts it at once, with the unit as it is then; so not together with other packages, which come earlier. #}
haproxy-package:
  pkg.installed:
    - pkgs: [haproxy, socat]
    - aggregate: False
    - require:
      - file: haproxy-unit

haproxy-active-map:
  file.managed:
    - name: {{ active }}
    - replace: False
    - user: root
    - group: root
    - mode: '0644'
    - contents:
      {%- for pool in pools %}
      - {{ pool }} {{ serving_slots[pool] | default('blue') }}
      {%- endfor %}
    - require:
      - pkg: haproxy-package

haproxy-unavailable-page:
  file.managed:
    - name: /etc/haproxy/errors/insync-503.http
    - source: salt://haproxy/files/503.http
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - pkg: haproxy-package

{#- Of a first drop-in systemd does not say that it is new, and Salt reloads only what systemd says. #}
haproxy-unit-loaded:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: haproxy-unit

haproxy-config:
  file.managed:
    - name: /etc/haproxy/haproxy.cfg
    - source: salt://haproxy/files/haproxy.cfg.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0640'
    - show_changes: {{ not preview }}
    - backup: '{{ 'none' if preview }}'
    - check_cmd: /usr/sbin/haproxy -c -q -f
    - context:
        active: {{ active }}
        certificate: {{ certificate }}
        challenge_port: {{ challenge_port }}
        endpoints: {{ endpoints | tojson }}
        haproxy: {{ haproxy | tojson }}
        listen: {{ listen | tojson }}
        names: {{ names | tojson }}
        peers: {{ peers | tojson }}
        preview: {{ preview | tojson }}
    - require:
      - file: haproxy-active-map
      - file: haproxy-unavailable-page
      - insync_certificate: acme-self-signed

haproxy-service:
  insync_unit.running:
    - name: haproxy
    - reload: True
    - require:
      - cmd: haproxy-unit-loaded
    - watch:
      - file: haproxy-config
      - file: haproxy-unavailable-page
      - insync_certificate: acme-self-signed

haproxy-in-step:
  insync_lb.in_step:
    - require:
      - insync_unit: haproxy-service

haproxy-certificate-hook:
  file.managed:
    - name: /etc/letsencrypt/renewal-hooks/deploy/haproxy
    - source: salt://haproxy/files/install-certificate
    - template: jinja
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True
    - context:
        certificate: {{ certificate }}
    - require:
      - pkg: acme-package
      - insync_unit: haproxy-service
    - require_in:
      - insync_certificate: acme-certificate
