{#- What a server needs that installs from the fleet's own package index: its map says where that is. -#}
include:
  - fleet_ca
