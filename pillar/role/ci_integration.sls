# Tunables of CI for integration tests; what they mean is in ci.sls. It has no password to publish with.
ci:
  engine: none
  projects: {}
  poll_seconds: 60
  hg_user: integration
  secrets:
    hg: 'ci_integration:hg_password'
    worker: 'ci_integration:worker_password'
    people: 'ci_integration:passwords'
  keep_days: 30
  memory_max: 384M
  job: {seconds: 3600, memory_max: 1G, tasks_max: 256}
  drone:
    url: null
    sha256: null
    settings: {}
    secrets: {DRONE_RPC_SECRET: 'ci_integration:drone_rpc_secret'}
    memory_max: 512M

sites:
  ci:
    service: ci-integration
    template: ci/files/site.conf.j2
    http_template: ci/files/http.conf.j2

backup:
  ci_integration: {none: what is known of builds is not needed to build}
