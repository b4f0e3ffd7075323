# wiki.insynchq.com, deprecated: old pages are read, and exported.
include:
  - mediawiki
