# Makes no repositories any more. Packages stay.
include:
  - repos.absent
