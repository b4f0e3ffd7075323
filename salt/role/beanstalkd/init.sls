# The work queue.
include:
  - beanstalkd
