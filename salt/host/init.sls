{#- The server's own name, and the names and private addresses of all others. -#}
{%- from 'host/map.jinja' import host, peers with context %}

host-name:
  insync_host.named:
    - name: {{ host.name }}

host-names:
  file.managed:
    - name: /etc/hosts
    - source: salt://host/files/hosts.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        peers: {{ peers | tojson }}
