# Gives the applications their settings and secrets, as pillar declares them.
include:
  - app
  - conf
