# Tunables of the way in.
ssh_gateway:
  max_auth_tries: 3
  max_startups: '10:30:60'

# Who fails `failures` times in `within` is shut out of the gateway's ssh for `ban`, and longer each time up to `longest_ban`.
# What counts: names that do not exist here, people who may not enter, and more keys in one attempt than max_auth_tries.
fail2ban:
  failures: 5
  within: 10min
  ban: 1h
  longest_ban: 7d
  # Addresses that are never shut out, beside the fleet's own ones: an office's, for example.
  never: []
  memory_max: 192M

backup:
  ssh_gateway: {none: it keeps nothing}
