# Tunables of the salt-master.
salt_master:
  worker_threads: 3
  timeout: 30
  gather_job_timeout: 40
  keep_jobs_seconds: 2592000

survey:
  known:
    /srv/insync/site/tls/*.crt: the fleet's own CA made them, and bootstrap/ct1 deploys them
    /root/site/tls/*.crt: the site folder from which docs/bootstrap.md deploys
    /srv/insync: the checkouts that bootstrap/ct1 deploys, of which the newest is in use

backup:
  salt_master:
    # The master's keys, those of the minions that it has accepted, and of its server's own; what lets it in where it
    # bootstraps; the site folder; and all records: which versions and releases are current, who is the primary of a
    # database, who did what.
    files: [/etc/salt/pki, /etc/salt/bootstrap, /srv/insync/site, /var/lib/insync/*]
    exclude: [/var/lib/insync/backup, /var/lib/insync/backups.json]
    units: [salt-master.service]
