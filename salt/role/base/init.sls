# What every server has: a name, operators, the one way in, a closed firewall, updates, logs, the fleet's own CA, backups of its data, and the minion itself.
include:
  - host
  - clock
  - operators
  - console
  - sshd
  - firewall
  - upgrades
  - journal
  - fleet_ca
  - frozen
  - data_backup
  - salt_minion
