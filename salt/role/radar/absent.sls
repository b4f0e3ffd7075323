# Runs no Radar any more. What the application wrote stays.
include:
  - app.absent
  - nginx.absent
