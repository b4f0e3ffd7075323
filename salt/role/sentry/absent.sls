# Keeps no errors of the applications any more. What it has kept stays.
include:
  - bugsink.absent
  - nginx.absent
