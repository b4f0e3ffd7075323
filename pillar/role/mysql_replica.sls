# Tunables of a replica of the database, beyond those of mysql_primary, which it has too.
mariadb:
  backup:
    # Where backups go, with a key that may add and read, and neither replace nor delete: keep versions there.
    bucket: insync_db_backups
    # AWS S3 if empty; DigitalOcean Spaces and Ceph have their own.
    endpoint: ''
    region: us-east-1
    access_key: {secret: 'mysql_replica:s3_access_key'}
    secret_key: {secret: 'mysql_replica:s3_secret_key'}
    # Who can read them: who -> public key of age. None of the private keys is on a server with the database.
    recipients: {}
    # When each kind is made, as systemd writes times.
    times: {physical: '*-*-* 01:30', logical: '*-*-* 03:30', binlogs: '*-*-* *:0/5'}
    # Older than so many hours the last good one is an error of the highstate.
    hours: {physical: 26, logical: 26, binlogs: 1}

backup:
  mysql_replica: {none: 'the database has kinds of its own: physical, logical and binlogs'}
