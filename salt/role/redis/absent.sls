# Counters, locks and caches are elsewhere now.
include:
  - redis.absent
