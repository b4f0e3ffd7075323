{#- The way into the fleet is elsewhere. This server's own sshd goes to where every other one has it. -#}

ssh-gateway-absent-config:
  insync_sshd.absent:
    - name: /etc/ssh/sshd_config.d/gateway.conf
    - require:
      - file: sshd-rollback-timer
      - file: sshd-rollback-at-boot
    - watch_in:
      - insync_unit: sshd-service
      - insync_sshd: sshd-confirmed
