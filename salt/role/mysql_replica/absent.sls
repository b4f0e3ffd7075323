# Another server is the copy of the Insync database now; what is here is kept.
include:
  - mariadb.absent
