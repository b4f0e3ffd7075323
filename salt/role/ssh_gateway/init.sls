# The only server that the internet can reach by ssh; all others are entered through it.
include:
  - ssh_gateway
  - fail2ban
