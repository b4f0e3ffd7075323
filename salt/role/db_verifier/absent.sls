# Another server restores the backups of the Insync database now.
include:
  - db_verifier.absent
