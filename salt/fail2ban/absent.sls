{#- Nobody from outside knocks here any more. Whom it has shut out stays in /var/lib/fail2ban. -#}

{#- As it stops it takes its table of nftables away. #}
fail2ban-absent-unit:
  insync_unit.absent:
    - name: fail2ban

fail2ban-absent-package:
  insync_package.absent:
    - pkgs: [fail2ban, python3-systemd]
    - require:
      - insync_unit: fail2ban-absent-unit

fail2ban-absent-files:
  file.absent:
    - names:
      - /etc/fail2ban/fail2ban.d/insync.local
      - /etc/fail2ban/jail.d/insync.local
      - /usr/local/sbin/insync-fail2ban-check
    - require:
      - insync_package: fail2ban-absent-package

fail2ban-absent-data:
  insync_data.kept:
    - name: /var/lib/fail2ban
