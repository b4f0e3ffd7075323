# Restores the backups of the Insync database, to see that they can be.
include:
  - db_verifier
