# The packages of the desktop client for customers: where builds come from, which repositories there are, where they are
# published. Addresses, suites, components and the key are what customers' machines have in their configuration: add, never rename.
repos:
  home: /srv/repos
  # A folder, or s3://bucket/prefix; below it <version>/ with the packages, SHA256SUMS and SHA256SUMS.asc.
  source: /srv/builds
  # The public key of who signs the builds' SHA256SUMS; the site's settings.yaml has it.
  build_key: ''
  signing_key: {secret: 'repos:signing_key'}
  apt:
    bucket: insync_apt
    url: http://apt.insync.io
    origin: Insync
    components: [non-free, contrib]
    architectures: [amd64]
    packages: [insync, insync-nautilus, insync-dolphin]
    file: '{package}_{version}_{architecture}.deb'
    suites:
      ubuntu: [focal, jammy, noble, oracular, plucky, questing]
      debian: [buster, bullseye, bookworm, trixie, forky, sid]
      mint: [una, vanessa, vera, victoria, virginia, wilma, xia, zara]
  yum:
    bucket: insync_yum
    url: http://yum.insync.io
    architectures: [x86_64]
    packages: [insync, insync-nautilus, insync-dolphin]
    file: '{package}-{version}-1.{architecture}.rpm'
    releases:
      fedora: ['40', '41', '42', '43']
      opensuse-tumbleweed: [rolling]
  # How many versions customers can choose from; for how many serials and days what these no longer name stays there.
  retain: {versions: 5, serials: 10, days: 30}
  store:
    # AWS S3 if empty; DigitalOcean Spaces and Ceph have their own.
    endpoint: ''
    region: us-east-1
    access_key: {secret: 'repos:s3_access_key'}
    secret_key: {secret: 'repos:s3_secret_key'}
    # True for a store that cannot write on a condition: then nobody else may publish.
    single_writer: False

backup:
  repos:
    files: [/srv/repos]
