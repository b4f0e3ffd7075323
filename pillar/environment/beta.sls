# What beta.insynchq.com has otherwise than production: one server for all, and mail that reaches nobody.
conf:
  namespaces:
    web: {greeting: This is the next Insync, sentry: {environment: beta}}
    mailer: {smtp: {connect: mail-sink, password: {secret: 'mail_sink:password'}}}
mariadb: {buffer_pool: 64M, memory_max: 512M}
