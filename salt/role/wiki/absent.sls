# Shows and exports no pages any more. The pages stay.
include:
  - mediawiki.absent
  - nginx.absent
