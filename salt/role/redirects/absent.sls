# Leads no names any more.
include:
  - nginx.absent
