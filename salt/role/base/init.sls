# What every server has: a name, operators, the one way in, a closed firewall, updates, logs, and the minion itself.
include:
  - host
  - clock
  - operators
  - console
  - sshd
  - firewall
  - upgrades
  - journal
  - salt_minion
