# Serves the forum no more. What was written in it stays.
include:
  - misago.absent
  - nginx.absent
  - postgresql.absent
