# The Insync database.
include:
  - mariadb
