# What every server has: a name, operators, the one way in, a closed firewall, updates, logs, the fleet's own CA, and the minion itself.
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
  - salt_minion
