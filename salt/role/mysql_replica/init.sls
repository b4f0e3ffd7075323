# A copy of the Insync database that follows it, and takes its place when it is lost.
include:
  - mariadb
