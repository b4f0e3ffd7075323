# Queues the mails that are due regularly.
include:
  - app
