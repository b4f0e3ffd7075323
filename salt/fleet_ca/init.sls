{#- The certificate by which servers of the fleet know each other's services. -#}
{%- from 'fleet_ca/map.jinja' import certificate, file with context %}

fleet-ca-certificate:
  file.managed:
    - name: {{ file }}
    - contents: {{ certificate | tojson }}
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - dir_mode: '0755'
