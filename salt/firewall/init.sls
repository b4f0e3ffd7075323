{#- Closed on both networks, but for what the inventory declares. -#}
{%- from 'firewall/map.jinja' import allow, frozen, master, refuse with context %}

firewall-package:
  pkg.installed:
    - pkgs: [nftables]

firewall-rules:
  file.managed:
    - name: /etc/nftables.conf
    - source: salt://firewall/files/nftables.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0755'
    - check_cmd: /usr/sbin/nft -c -f
    - context:
        allow: {{ allow | tojson }}
        frozen: {{ frozen }}
        master: {{ master }}
        refuse: {{ refuse | tojson }}
    - require:
      - pkg: firewall-package

firewall-loaded:
  insync_nftables.loaded:
    - name: /etc/nftables.conf
    - table: inet insync
    - watch:
      - file: firewall-rules

firewall-at-boot:
  service.enabled:
    - name: nftables
    - require:
      - insync_nftables: firewall-loaded
