# Lets nobody further into the fleet any more.
include:
  - fail2ban.absent
  - ssh_gateway.absent
