# Restores the backups of the database, to see that they can be.
db_verifier:
  store:
    bucket: insync_db_backups
    # AWS S3 if empty; DigitalOcean Spaces and Ceph have their own.
    endpoint: ''
    region: us-east-1
    access_key: {secret: 'db_verifier:s3_access_key'}
    secret_key: {secret: 'db_verifier:s3_secret_key'}
  identity: {secret: 'db_verifier:age_key'}
  # When, as systemd writes times; and how old the newest backup, and the last good verification, may be.
  time: '*-*-* 05:00'
  hours: {verified: 26}
  memory_max: 1G

backup:
  db_verifier: {none: it keeps nothing}
