# The private package index, and the only way from the fleet to the public one.
include:
  - devpi
