# Gives out no settings any more. The values that it kept stay.
include:
  - app.absent
  - conf.absent
