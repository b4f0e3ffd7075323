# Counters, locks and caches of the applications.
include:
  - redis
