#!py
"""The releases that this server's applications start with when it is blank, from the site folder."""

import insync_inventory
import insync_releases


def run():
    """Return ``{"first_releases": {application: lock text}}``."""
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    return {"first_releases": insync_releases.for_roles(roots, insync_inventory.roles_of(inventory, __opts__["id"]))}
