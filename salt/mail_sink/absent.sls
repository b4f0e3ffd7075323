{#- No keeper of mail any more. The mails that it kept stay in /var/lib/private/mail-sink. -#}

mail-sink-absent-unit:
  insync_unit.absent:
    - name: mail-sink

mail-sink-absent-package:
  insync_package.absent:
    - pkgs: [python3-aiosmtpd]
    - require:
      - insync_unit: mail-sink-absent-unit

mail-sink-absent-files:
  file.absent:
    - names:
      - /etc/insync/mail-sink
      - /etc/tmpfiles.d/insync-mail-sink.conf
      - /usr/local/sbin/insync-mail-sink
      # Systemd's link to where the mails are.
      - /var/lib/mail-sink
    - require:
      - insync_unit: mail-sink-absent-unit

mail-sink-absent-authority:
  file.absent:
    - name: /usr/local/share/ca-certificates/insync-fleet.crt

mail-sink-absent-authority-forgotten:
  cmd.run:
    - name: update-ca-certificates --fresh
    - onchanges:
      - file: mail-sink-absent-authority

mail-sink-absent-data:
  insync_data.kept:
    - name: /var/lib/private/mail-sink
