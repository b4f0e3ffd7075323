# Tunables of the work queue. A job larger than max_job_bytes is refused when it is put.
beanstalkd:
  max_job_bytes: 65535
  max_connections: 4096
  memory_max: 512M
  # Its log is on the disk: with less room than this, or a larger log, the highstate fails and insync.queue_status says so,
  # before beanstalkd can take no job any more.
  free_min: 512M
  binlog_max: 1G
  # A job, or a mail in the outbox, that waits for longer is a problem.
  late_seconds: 1800

backup:
  beanstalkd: {none: 'a copy of the queue is old at once, and restored it would send mails a second time'}
