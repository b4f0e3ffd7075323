# The old wiki: its pages can be read, and nothing be written.
mediawiki:
  sitename: Insync wiki
  language: en
  skin: vector
  # What somebody is told who wants to edit.
  reason: This wiki is deprecated; its pages are kept to be read, and nothing is changed any more.
  # What its pages need to render.
  extensions: [CategoryTree, Cite, ParserFunctions, Poem]
  # Requests of PHP at the same time, and how many one address may make in a second.
  workers: 4
  requests_per_second: 20
  request_seconds: 30
  memory_limit: 128M
  memory_max: 384M
  # Where `insync.export_wiki` puts its pages: the bucket may be written by this key, and nothing be deleted.
  archive:
    bucket: insync_wiki_archive
    # AWS S3 if empty; DigitalOcean Spaces and Ceph have their own.
    endpoint: ''
    region: us-east-1
    access_key: {secret: 'wiki:s3_access_key'}
    secret_key: {secret: 'wiki:s3_secret_key'}

sites:
  wiki:
    service: wiki-https
    template: mediawiki/files/site.conf.j2
    http_template: mediawiki/files/http.conf.j2

backup:
  wiki:
    sqlite: [/var/lib/mediawiki/data/wiki.sqlite]
    files: [/var/lib/mediawiki/images]
    units: [mediawiki.service]
  # The account at the authority, and what it has issued: it issues only so many in a week.
  certificates:
    files: [/etc/letsencrypt]
