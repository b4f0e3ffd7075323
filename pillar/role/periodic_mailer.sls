# The sender of regular mails. Package, virtualenv and command are the application's: change them here when it does.
apps:
  periodic_mailer:
    description: Insync periodic mailer
    package: insync-mailer
    virtualenv: /insync/venv/periodic_mailer
    command: ${VENV}/bin/insync-periodic-mailer
    # On loopback: health, readiness, version and counters.
    port: 8131
    credentials: {conf_token: 'conf_server:periodic_mailer_token'}
    settings: {namespace: periodic_mailer}
    memory_max: 128M
    # It says that it makes progress; one that does not is restarted.
    watchdog: 1min

backup:
  periodic_mailer: {none: what it knows is in the database and in redis}
