# Tunables of the keeper of mail that must reach nobody.
mail_sink:
  user: insync
  max_age: 30d
  memory_max: 128M

backup:
  mail_sink: {none: 'mails of tests, which nobody gets'}
