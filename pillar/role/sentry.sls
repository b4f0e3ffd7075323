# Tunables of the server that keeps the applications' errors.
bugsink:
  # Who administers it, and makes accounts for others; the password is the secret admin_password.
  admin: ops@insynchq.com
  team: Insync
  # One project for each application. The number and the key, a secret of that name, are in the address that the
  # application sends to: the conf server tells it both (pillar/role/conf_server.sls).
  projects:
    web: {number: 1, key: 'sentry:web_key', max_events: 10000}
  # Older events are removed once a day, and what nobody has seen for as long with them.
  max_age_days: 90
  workers: 2
  memory_max: 384M

sites:
  sentry:
    service: sentry
    template: bugsink/files/site.conf.j2

backup:
  sentry:
    sqlite: [/var/lib/bugsink/db.sqlite3, /var/lib/bugsink/snappea.sqlite3]
    units: [bugsink.service, bugsink-snappea.service]
