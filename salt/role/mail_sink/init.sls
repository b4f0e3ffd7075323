# Takes the mail of an environment whose mails must reach nobody, and keeps it to be read.
include:
  - mail_sink
