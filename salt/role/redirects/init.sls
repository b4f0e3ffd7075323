# Leads names that are no servers to where they belong: the naked domain, jobs, blog, and everything below insync.io.
include:
  - nginx
