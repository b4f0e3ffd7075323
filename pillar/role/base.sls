# Tunables of what every server has. Addresses, ports and names are in the inventory; people are in the site folder.
clock:
  timezone: Etc/UTC
  sync: True

journal:
  max_use: 200M
  max_age: 30day

upgrades:
  # Security updates only; a reboot is an operator's decision.
  reboot: False
