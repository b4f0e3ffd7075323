# Builds what is pushed to the repositories, tests it, and publishes what is good.
include:
  - ci
