# Runs no integration tests any more. What it has told of builds stays.
include:
  - buildbot.absent
  - drone.absent
  - nginx.absent
