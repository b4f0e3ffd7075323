# The forum of the users.
include:
  - misago
