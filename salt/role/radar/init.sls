# The Radar server: its package, behind nginx.
include:
  - app
  - nginx
