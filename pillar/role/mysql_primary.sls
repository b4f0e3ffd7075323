# Tunables of the database; a replica has the same. An account may log in from the servers of its role only, and do nothing but what its grants say.
mariadb:
  max_connections: 200
  buffer_pool: 256M
  memory_max: 1536M
  # With a replica: how many transactions it applies at once, and how long a commit waits for it before the primary goes on
  # alone. What was answered while it did may be lost with the primary.
  parallel_threads: 4
  semi_sync_milliseconds: 10000
  # A replica that is more behind is no good: status says so, and no backup is made.
  stale_seconds: 300
  # One for each application that writes, as an account's grants are for whole databases; and insync_outbox, into which
  # whoever has mails to send writes them, and reads none.
  databases: &databases [insync, insync_license, insync_digest, insync_mail, insync_outbox]
  accounts:
    web: {role: web, grants: {insync: [SELECT, INSERT], insync_outbox: [INSERT]}}
    license: {role: license, grants: {insync_license: [SELECT]}}
    mailer:
      role: mailer
      grants: {insync_mail: [SELECT, INSERT, UPDATE], insync_outbox: [SELECT, UPDATE, DELETE]}
    periodic_mailer:
      role: periodic_mailer
      grants: {insync: [SELECT], insync_digest: [SELECT, INSERT], insync_outbox: [INSERT]}
    replica: {role: mysql_replica, grants: {'*': [REPLICATION SLAVE]}}

# With a replica that makes the backups, of kinds of its own.
backup:
  mysql_primary:
    unless: mysql_replica
    mariadb: *databases
    units: [web@*.service, license@*.service, mailer.service, periodic_mailer.service]
