# The backends of /license. Package, virtualenv and command are the application's: change them here when it does.
apps:
  license:
    description: Insync license
    package: insync-license
    virtualenv: /insync/venv/license
    command: >-
      ${VENV}/bin/python -m gunicorn --preload --no-control-socket --worker-class gthread --workers 1 --threads 16
      --keep-alive 75 --graceful-timeout 30 --worker-tmp-dir /dev/shm --bind ${ADDRESS}:${PORT} insync_license.wsgi:application
    credentials: {conf_token: 'conf_server:license_token'}
    # A release that does not answer these with 200 is not asked by anybody else.
    smoke: [/version]
    settings: {namespace: license}
    memory_max: 256M

backup:
  license: {none: what it knows is in the database}
