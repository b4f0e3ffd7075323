# Tunables of the Mercurial server. Its repositories, who may read and push and with which ssh keys, are in the site folder's
# hg.yaml; the passwords are the secret `passwords`.
hg:
  workers: 2
  # nginx takes a push in before hgweb gets it; hgweb may then work on it for so long.
  push_max_mb: 512
  seconds: 600
  # By https. A clone or a push takes about ten requests; guesses of passwords are requests as well.
  requests_per_second:
    client: 5
    all: 20
  memory_max: 512M

sites:
  hg:
    service: hg-https
    template: hg/files/site.conf.j2
    http_template: hg/files/http.conf.j2

backup:
  hg_server:
    hg: /srv/hg
    units: [hgweb.socket, hgweb.service]
  # The account at the authority, and what it has issued: it issues only so many in a week.
  certificates:
    files: [/etc/letsencrypt]
