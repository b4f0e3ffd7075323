# Removes backups, of the database and of all other data, that nobody needs any more.
backup_retention:
  store:
    bucket: insync_db_backups
    # AWS S3 if empty; DigitalOcean Spaces and Ceph have their own.
    endpoint: ''
    region: us-east-1
    access_key: {secret: 'backup_retention:s3_access_key'}
    secret_key: {secret: 'backup_retention:s3_secret_key'}
  # Of how many days, weeks and months the last backup is kept, and for how many days binary logs are.
  keep: {daily: 7, weekly: 5, monthly: 12, logs: 35}
  # Nothing is removed while no backup that is so new was restored and found good.
  hours: 50
  # When, as systemd writes times.
  time: '*-*-* 07:00'

backup:
  backup_retention: {none: it keeps nothing}
