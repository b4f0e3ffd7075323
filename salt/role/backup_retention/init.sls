# Removes backups of the Insync database that nobody needs any more.
include:
  - backup_retention
