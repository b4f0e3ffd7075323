# Is not the package index any more. The packages stay.
include:
  - devpi.absent
  - nginx.absent
