# Another server removes old backups now.
include:
  - backup_retention.absent
