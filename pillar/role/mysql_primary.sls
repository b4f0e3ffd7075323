# Tunables of the database. An account may log in from the servers of its role only, and do nothing but what its grants say.
mariadb:
  max_connections: 200
  buffer_pool: 256M
  memory_max: 1536M
  # One for each application that writes: an account's grants are for whole databases.
  databases: [insync, insync_license, insync_digest, insync_mail]
  accounts:
    web: {role: web, grants: {insync: [SELECT, INSERT]}}
    license: {role: license, grants: {insync_license: [SELECT]}}
    mailer: {role: mailer, grants: {insync_mail: [SELECT, INSERT, UPDATE]}}
    periodic_mailer: {role: periodic_mailer, grants: {insync: [SELECT], insync_digest: [SELECT, INSERT]}}
