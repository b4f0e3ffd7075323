# A backend of www.insynchq.com/license.
include:
  - app
