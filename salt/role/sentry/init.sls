# Keeps the errors of the applications, with the release that they happened in.
include:
  - bugsink
