#!py
"""What this installation sets otherwise than pillar/role/ does, for the roles of this server."""

import insync_inventory
import insync_settings


def run():
    """Return the pillar of the site folder's settings for the server that asks."""
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    return insync_settings.for_roles(roots, insync_inventory.tuned_as(inventory, __opts__["id"]))
