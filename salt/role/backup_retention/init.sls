# Removes backups, of the database and of all other data, that nobody needs any more.
include:
  - backup_retention
