# Queues nothing any more. Jobs that were not done stay.
include:
  - beanstalkd.absent
