# A backend of www.insynchq.com.
include:
  - app
