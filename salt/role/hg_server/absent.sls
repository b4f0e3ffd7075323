# Serves no repositories any more. The repositories stay.
include:
  - hg.absent
  - nginx.absent
