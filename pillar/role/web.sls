# The web backends. Package, virtualenv and command are the application's: change them here when it does.
apps:
  web:
    description: Insync web
    package: insync-web
    virtualenv: /insync/venv/web
    command: >-
      ${VENV}/bin/python -m gunicorn --preload --no-control-socket --worker-class gthread --workers 2 --threads 16
      --keep-alive 75 --graceful-timeout 30 --worker-tmp-dir /dev/shm --bind ${ADDRESS}:${PORT} insync_web.wsgi:application
    credentials: {conf_token: 'conf_server:web_token'}
    # A release that does not answer these with 200 is not asked by anybody else.
    smoke: [/, /version]
    # How it is seen that it can write to its database: an address signs up, and is refused as taken after the first time.
    writes: {path: /signup, form: {email: database-check@insynchq.com}, good: [201, 409]}
    settings: {namespace: web}
    memory_max: 512M

backup:
  web: {none: 'what it knows is in the database, in redis and in the queue'}
