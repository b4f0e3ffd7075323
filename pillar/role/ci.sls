# Tunables of CI: it builds what is pushed, tests it, and publishes what is good.
ci:
  # none: what builds was installed by hand, and is left as it is. Or buildbot; or drone, which cannot read Mercurial repositories.
  engine: none
  # What buildbot builds: name -> repository: its name on the Mercurial server; package: of which it makes a wheel; steps: name ->
  # command, run in a virtualenv with that wheel; publish: the index that gets it if they all succeed, or left out.
  projects: {}
  poll_seconds: 60
  # Who reads the repositories, and who uploads.
  hg_user: ci
  upload_user: ci
  # Where in the secrets each password is. Without `upload` nothing can be published.
  secrets:
    hg: 'ci:hg_password'
    worker: 'ci:worker_password'
    people: 'ci:passwords'
    upload: 'pypi_server:ci_password'
  # How long what a build said is kept.
  keep_days: 30
  memory_max: 384M
  # Of one build.
  job: {seconds: 1800, memory_max: 1G, tasks_max: 256}
  # The program, of which there is no package: where it is, and its checksum. Then what else it is told in its environment, and where
  # in the secrets what nobody else may know of that is.
  drone:
    url: null
    sha256: null
    settings: {}
    secrets: {DRONE_RPC_SECRET: 'ci:drone_rpc_secret'}
    memory_max: 512M

sites:
  ci:
    service: ci
    template: ci/files/site.conf.j2
    http_template: ci/files/http.conf.j2

backup:
  ci: {none: 'what is known of builds is not needed to build, and what they made is on the package index'}
