{#- What the gateway's ssh server may do beyond an ordinary one: forward, to the fleet's ssh ports and nowhere else. -#}
{%- from 'ssh_gateway/map.jinja' import gateway, permit_open with context %}

ssh-gateway-config:
  file.managed:
    - name: /etc/ssh/sshd_config.d/gateway.conf
    - source: salt://ssh_gateway/files/gateway.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - check_cmd: /usr/local/sbin/insync-sshd-change begin /etc/ssh/sshd_config.d/gateway.conf
    - context:
        gateway: {{ gateway | tojson }}
        permit_open: {{ permit_open | tojson }}
    - require:
      - pkg: sshd-package
      - file: sshd-rollback-timer
      - file: sshd-rollback-at-boot
    - watch_in:
      - insync_unit: sshd-service
      - insync_sshd: sshd-confirmed
