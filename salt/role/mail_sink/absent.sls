# Keeps no mail any more. What it kept stays.
include:
  - mail_sink.absent
