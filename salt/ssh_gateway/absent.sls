{#- The way into the fleet is elsewhere. This server's own sshd goes to where every other one has it. -#}

ssh-gateway-absent-config:
  file.absent:
    - name: /etc/ssh/sshd_config.d/gateway.conf
    - watch_in:
      - insync_unit: sshd-service
