# Tunables of what every server has. Addresses, ports and names are in the inventory; people are in the site folder.
clock:
  timezone: Etc/UTC
  sync: True

journal:
  max_use: 200M
  max_age: 30day

survey:
  # What a survey need not ask about any more: a path, or a pattern such as /etc/cron.d/agent-*, and why.
  known: {}

upgrades:
  # Security updates only; a reboot is an operator's decision.
  reboot: False

# Certificates of public names, for who offers some. The directory of the CA and the address for its mails are in the site
# folder's settings (acme: directory, email); without them certbot's own CA is asked, and no address is given.
acme:
  # Where certbot answers the CA, on loopback, behind whatever serves port 80. Below 1024: an application on this server
  # that could listen there would get a certificate.
  port: 842

# For how long a change of sshd may wait until somebody confirms it; then it is taken back. The highstate confirms what it can
# prove, within a few of these seconds.
sshd_change:
  seconds: 120
