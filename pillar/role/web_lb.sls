# Tunables of the load balancer. Addresses, ports and public names are in the inventory.
haproxy:
  # Which applications are reached below which path. /etc/haproxy/active.map names the release slot in use for each.
  pools:
    web: {path: /}
    license: {path: /license}
  # What is for the load balancer and the release only: not found from outside.
  internal: [healthz, readyz, stats]
  # A server is in after `rise` good answers, out after `fall` bad ones; an answer has `interval` too.
  check: {interval: 1s, fall: 2, rise: 2}
  # For so long a browser that was here once asks by https only.
  hsts_seconds: 31536000
  memory_max: 512M

backup:
  web_lb: {none: it keeps nothing}
  # The account at the authority, and what it has issued: it issues only so many in a week.
  certificates:
    files: [/etc/letsencrypt]
