# Tunables of the salt-master.
salt_master:
  worker_threads: 3
  timeout: 30
  gather_job_timeout: 40
  keep_jobs_seconds: 2592000

survey:
  known:
    /srv/insync: the checkouts that bootstrap/ct1 deploys, of which the newest is in use
