# The server that holds the declared fleet and pushes it to all others.
include:
  - salt_master
  - salt_master.operators
  - operator_commands
