# The server of mrkr.io. Package, virtualenv and command are the application's: change them here when it does.
apps:
  mrkr:
    description: mrkr.io
    package: insync-mrkr
    virtualenv: /insync/venv/mrkr
    command: >-
      ${VENV}/bin/python -m gunicorn --no-control-socket --worker-class gthread --workers 1 --threads 8
      --keep-alive 75 --graceful-timeout 10 --worker-tmp-dir /dev/shm --bind 127.0.0.1:${PORT} insync_mrkr.wsgi:application
    # On loopback: nginx is before it.
    port: 8151
    credentials: {}
    # A release that does not answer these with 200 does not stay.
    smoke: [/, /version]
    settings: {}
    memory_max: 192M

sites:
  mrkr:
    service: mrkr-https
    template: app/files/site.conf.j2

backup:
  mrkr: {none: it keeps nothing}
  # The account at the authority, and what it has issued: it issues only so many in a week.
  certificates:
    files: [/etc/letsencrypt]
