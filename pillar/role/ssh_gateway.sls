# Tunables of the way in.
ssh_gateway:
  max_auth_tries: 3
  max_startups: '10:30:60'
