# Takes mails from the queue and sends them.
include:
  - app
