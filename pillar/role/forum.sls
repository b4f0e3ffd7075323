# Tunables of the server of the forum.
forum:
  # none: what serves the forum was installed by hand, and is left as it is. Misago is for a forum that begins anew.
  engine: none

misago:
  name: Insync
  # How an account becomes one: none (at once), user (by a link in a mail), admin (an administrator says so), or closed.
  registration: admin
  # The relay is the site's: its settings.yaml names it. Without a host no mails are sent, and no password is ever reset.
  mail: {host: '', port: 587, user: insync, sender: Insync forums <forums@insynchq.com>}
  # Who administers it; the password is the secret admin_password.
  admin: {name: ops, email: ops@insynchq.com}
  # Logins and registrations that one address may try.
  tries_per_minute: 20
  workers: 2
  # Of the cache and the queue of tasks.
  redis_memory: 24mb
  # Of each unit.
  memory_max: 256M

postgresql:
  max_connections: 20
  shared_buffers: 48M
  memory_max: 256M

survey:
  known:
    /var/lib/redis/dump.rdb: Debian's own redis wrote it, empty, before it was stopped; Misago has one of its own

sites:
  forum:
    service: forum-https
    template: misago/files/site.conf.j2
    http_template: misago/files/http.conf.j2

backup:
  forum:
    # Only where this is the engine: what another one keeps has to be declared with it.
    when: [forum, engine, misago]
    postgresql: misago
    files: [/var/lib/misago/media]
    units: [misago.service, misago-worker.service]
    # What it remembers of another state of the database.
    after: [redis-cli, -s, /run/misago-redis/redis.sock, -n, '1', flushdb]
  # The account at the authority, and what it has issued, which there is with this engine only: another role's public
  # names have a kind of their own, whatever the engine is.
  forum_certificates:
    when: [forum, engine, misago]
    files: [/etc/letsencrypt]
