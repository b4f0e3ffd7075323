# Another server has the Insync database now, or nobody needs it any more; what is here is kept.
include:
  - mariadb.absent
