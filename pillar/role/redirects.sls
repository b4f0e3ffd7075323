# Tunables of the redirects. The names and where they lead are in pillar/inventory/zones.yaml.
sites:
  redirects:
    service: redirects-https
    template: nginx/files/redirects/site.conf.j2
    http_template: nginx/files/redirects/http.conf.j2
    # The same by http: most names below a wildcard have no certificate that https could be led to.
    by_http_too: True

acme:
  # Certificates of wildcards: who serves their zones, and for how many seconds the CA is kept waiting until a new record is seen
  # everywhere. digitalocean, or rfc2136 for any name server that takes signed updates; the site folder's settings then give its
  # server (an address), port, key (the name of the TSIG key) and algorithm (such as HMAC-SHA512).
  dns:
    provider: digitalocean
    propagation_seconds: 30

backup:
  redirects: {none: they are in the inventory}
  # The account at the authority, and what it has issued: it issues only so many in a week.
  certificates:
    files: [/etc/letsencrypt]
