# Tunables of redis. A user may run the commands listed, on keys that begin with `<user>:`, and nothing else.
redis:
  max_memory: 256mb
  # A rewrite of the append-only file may need as much again.
  memory_max: 768M
  users:
    web: [ping, get, incr]
    license: [ping, get, set]
    periodic_mailer: [ping, get, set, del]
