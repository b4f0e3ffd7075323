# Serves www.insynchq.com no more. What the application wrote stays.
include:
  - app.absent
