# The Radar server. Package, virtualenv and command are the application's: change them here when it does.
apps:
  radar:
    description: Insync Radar
    package: insync-radar
    virtualenv: /insync/venv/radar
    command: >-
      ${VENV}/bin/python -m gunicorn --no-control-socket --worker-class gthread --workers 1 --threads 8
      --keep-alive 75 --graceful-timeout 10 --worker-tmp-dir /dev/shm --bind 127.0.0.1:${PORT} insync_radar.wsgi:application
    # On loopback: nginx is before it.
    port: 8141
    credentials: {}
    # A release that does not answer these with 200 does not stay.
    smoke: [/, /version]
    settings: {}
    memory_max: 192M

sites:
  radar:
    service: radar
    template: app/files/site.conf.j2

backup:
  radar: {none: 'it keeps nothing, as far as is known'}
