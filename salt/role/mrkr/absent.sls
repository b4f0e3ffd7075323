# Serves mrkr.io no more. What the application wrote stays.
include:
  - app.absent
  - nginx.absent
