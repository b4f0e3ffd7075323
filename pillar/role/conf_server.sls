# The conf server, and what it tells the applications. Package, virtualenv and command are Insync's: change them here.
apps:
  conf_server:
    description: Insync conf server
    package: insync-conf-server
    virtualenv: /insync/venv/conf_server_bin
    command: >-
      ${VENV}/bin/python -m gunicorn --preload --no-control-socket --worker-class gthread --workers 1 --threads 8
      --graceful-timeout 10 --worker-tmp-dir /dev/shm --certfile ${CREDENTIALS_DIRECTORY}/tls_certificate
      --keyfile ${CREDENTIALS_DIRECTORY}/tls_key --bind ${ADDRESS}:${PORT} insync_conf_server.wsgi:application
    endpoint: conf-server
    credentials: {tls_certificate: 'tls:certificate', tls_key: 'tls:key'}
    settings: {}
    # Each namespace is read with its own token, of which the server keeps a hash; admin reads and writes all.
    readers:
      admin: conf_server:admin_token
      web: conf_server:web_token
      license: conf_server:license_token
      mailer: conf_server:mailer_token
      periodic_mailer: conf_server:periodic_mailer_token
    memory_max: 256M

conf:
  # In the virtualenv of the conf server.
  jt: bin/jt
  # How jt is called; the values come in as JSON on its standard input, never on its command line.
  load: [sconf, load, '-', --ns, '{namespace}', --json]
  # Prints all values of a namespace as JSON.
  dump: [sconf, dump, --ns, '{namespace}']
  environment: {INSYNC_SETTINGS: /etc/insync/jt/settings.json, JT_TOKEN_FILE: /etc/insync/jt/token}
  admin_token: {secret: 'conf_server:admin_token'}
  # What is a whole number, by the end of its name, and from where to where; an application refuses all values for one.
  numbers: {port: [1, 65535], attempts: [1, 100], _seconds: [1, 2592000]}
  # {secret: role:key} stands for a secret, connect: <service> for the host and port of that service in the inventory,
  # {current_version: platform} for the version that is current there.
  namespaces:
    web:
      greeting: Welcome to Insync
      current_versions: {mac: {current_version: mac}, windows: {current_version: windows}}
      mail_from: Insync <noreply@insynchq.com>
      mysql: {connect: mysql, user: web, password: {secret: 'mysql_primary:web_password'}, database: insync}
      redis: {connect: redis, user: web, password: {secret: 'redis:web_password'}}
      # For releases that put mails into the queue themselves, as those before the outbox do; periodic_mailer likewise.
      beanstalkd: {connect: beanstalkd, tube: mail}
      # Where errors go; project and key are those of pillar/role/sentry.sls.
      sentry: {connect: sentry, project: '1', key: {secret: 'sentry:web_key'}, environment: production}
    license:
      mysql: {connect: mysql, user: license, password: {secret: 'mysql_primary:license_password'}, database: insync_license}
      redis: {connect: redis-cache, user: license, password: {secret: 'redis:license_password'}}
    mailer:
      beanstalkd: {connect: beanstalkd, tube: mail}
      mysql: {connect: mysql, user: mailer, password: {secret: 'mysql_primary:mailer_password'}, database: insync_mail}
      # The relay is the site's: its settings.yaml names it.
      smtp: {host: localhost, port: 587, user: insync, password: {secret: 'conf_server:smtp_password'}}
      # The delay is twice as long after each try, up to an hour: a relay that takes nothing may do so for two hours.
      retry: {attempts: 8, delay_seconds: 60}
      # How soon a mail that was not confirmed is looked for in the queue, and how long one that was sent is kept.
      outbox: {again_seconds: 60, kept_seconds: 86400}
    periodic_mailer:
      interval_seconds: 86400
      subject: Your day with Insync
      mail_from: Insync <noreply@insynchq.com>
      mysql:
        connect: mysql
        user: periodic_mailer
        password: {secret: 'mysql_primary:periodic_mailer_password'}
        database: insync_digest
      redis: {connect: redis, user: periodic_mailer, password: {secret: 'redis:periodic_mailer_password'}}
      beanstalkd: {connect: beanstalkd, tube: mail}

# Which version of Insync clients are told. A declared one holds until `insync.set_current_version` sets another, and a
# newly declared one again after that.
current_versions:
  declared: {mac: 3.9.6.60027, windows: 3.9.6.60027}
  downloads:
    mac: https://cdn.insynchq.com/builds/mac/Insync-{version}.dmg
    windows: https://cdn.insynchq.com/builds/windows/Insync-{version}.exe
  # The conf of which application tells them, and where that answers clients.
  namespace: web
  told_at: /api/current-versions

backup:
  conf_server:
    sqlite: [/var/lib/insync-conf-server/conf.db]
    units: [conf_server.service]
