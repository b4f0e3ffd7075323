# Sends no mails any more. What the application wrote stays.
include:
  - app.absent
