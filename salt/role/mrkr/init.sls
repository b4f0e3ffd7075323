# The web site mrkr.io: its package, behind nginx.
include:
  - app
  - nginx
