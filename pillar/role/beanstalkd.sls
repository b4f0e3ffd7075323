# Tunables of the work queue. A job larger than max_job_bytes is refused when it is put.
beanstalkd:
  max_job_bytes: 65535
  max_connections: 4096
  memory_max: 512M

backup:
  beanstalkd: {none: 'a copy of the queue is old at once, and restored it would send mails a second time'}
