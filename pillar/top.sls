#!py
"""Which pillar a server gets follows from its authenticated id and the inventory, never from its grains."""

import insync_inventory

PARTS = ["inventory", "release", "operators", "hg", "secrets", "backup", "tls", "first_releases"]


def run():
    """Return the top of the server that asks; an id that is no server's raises insync_inventory.InventoryError."""
    inventory = insync_inventory.load(f"{__opts__['pillar_roots']['base'][0]}/inventory")
    hosts, name = inventory["hosts"], __opts__["id"]
    # The master's own: nothing.
    if name not in hosts and name in [f"{host}_master" for host in insync_inventory.hosts_with(inventory, "salt_master")]:
        return {"base": {}}
    # A replica is configured as its primary is, which it may have to replace.
    roles = [f"role.{role}" for role in insync_inventory.tuned_as(inventory, name)]
    environment = insync_inventory.environment_of(inventory, name)
    other = [f"environment.{environment}"] if environment != insync_inventory.PRODUCTION else []
    top = {name: [*PARTS, *roles, "settings", *other]}
    return {"base": top}
