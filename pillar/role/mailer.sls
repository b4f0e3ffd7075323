# The sender of queued mails. Package, virtualenv and command are the application's: change them here when it does.
apps:
  mailer:
    description: Insync mailer
    package: insync-mailer
    virtualenv: /insync/venv/mailer
    command: ${VENV}/bin/insync-mailer
    # On loopback: health, readiness, version and counters.
    port: 8121
    credentials: {conf_token: 'conf_server:mailer_token'}
    settings: {namespace: mailer}
    memory_max: 128M
    # It says that it makes progress; one that does not is restarted.
    watchdog: 1min

backup:
  mailer: {none: what it knows is in the database and in the queue}
