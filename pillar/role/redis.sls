# Tunables of redis: its instances, each with users, persistence and memory of its own.
redis:
  # The instance that goes on with the data of a server on which redis ran alone, as Debian's redis-server.
  adopts: main
  # service:     its entry in services.yaml: the port, and who may connect
  # persistence: always (what is answered is on disk), everysec (the last second may be lost), or none
  # policy:      what happens when max_memory is used up: noeviction refuses writes, allkeys-lru forgets what is oldest
  # memory_max:  of the process; a rewrite of the append-only file may need as much again as max_memory
  # users:       the commands that each may run, on keys that begin with `<user>:`, and nothing else
  instances:
    # What nobody could compute again: counts, and who sends which digest.
    main:
      service: redis
      persistence: always
      max_memory: 256mb
      policy: noeviction
      memory_max: 768M
      users:
        web: [ping, get, incr]
        periodic_mailer: [ping, get, set, del]
    # What is in a database too.
    cache:
      service: redis-cache
      persistence: none
      max_memory: 128mb
      policy: allkeys-lru
      memory_max: 384M
      users:
        license: [ping, get, set]

backup:
  redis:
    # Of the instance main; the other one keeps nothing.
    redis: /var/lib/redis/main
    units: [redis-server@main.service]
