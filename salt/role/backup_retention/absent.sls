# Another server removes old backups of the Insync database now.
include:
  - backup_retention.absent
