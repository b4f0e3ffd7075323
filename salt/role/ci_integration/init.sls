# Tests what is pushed against what is around it, and publishes nothing.
include:
  - ci
