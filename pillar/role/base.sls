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

# What is backed up of each role's data, or why nothing is, stands with the role:
#   files, sqlite: paths; hg, redis: the folder; postgresql: the database. What the engine has a tool for is copied by that
#   exclude: what is left out of files; units: what is stopped while data comes back, after: what is run then
#   when: key, key and value of the pillar, without which there is nothing; none: why there is nothing
backup:
  base: {none: what every server has comes from here}

# Where the backups go, each server's below its own name, encrypted, with a key that may add and read there, and delete
# nothing but its own locks.
backup_store:
  bucket: insync_backups
  # AWS S3 if empty; DigitalOcean Spaces and Ceph have their own.
  endpoint: ''
  region: us-east-1
  # When, as systemd writes times; and after how many hours without a good one the highstate fails.
  time: '*-*-* 02:00'
  # All servers at once would be a crowd: each waits for a part of this.
  spread: 30min
  hours: 26
