# Tunables of the private package index.
devpi:
  # The public index that it is installed from and that it mirrors; null: the one that uv and devpi know by themselves.
  upstream: null
  # The way out to it, if there is one: the URL of a forward proxy.
  proxy: null
  # Names that begin so are ours: a public package of such a name is never served, whether we have that name or not, and
  # no package of another name can be uploaded.
  reserved_prefixes: [insync-]
  # Owns the indexes; nobody logs in as it.
  owner: insync
  # Who uploads, CI and people by hand: name -> where in the secrets the password is.
  uploaders:
    ci: 'pypi_server:ci_password'
    uploader: 'pypi_server:uploader_password'
  # Index -> bases: the indexes whose packages it offers as well; uploaders: who uploads to it and moves there what is in another,
  # and nobody else. What is uploaded is never replaced.
  indexes:
    stable: {bases: [root/pypi], uploaders: [uploader]}
    staging: {bases: [insync/stable], uploaders: [ci, uploader]}
  upload_max_mb: 200
  threads: 20
  memory_max: 512M

sites:
  pypi:
    service: pypi
    template: devpi/files/site.conf.j2
    http_template: devpi/files/http.conf.j2

backup:
  pypi_server:
    sqlite: [/var/lib/devpi/server/.sqlite]
    files: [/var/lib/devpi/server]
    # Its database is copied by itself. What it has of the public index is kept too: without the file of its last transaction,
    # which may be one of these, devpi does not start.
    exclude: [/var/lib/devpi/server/.sqlite*]
    units: [devpi.service]
