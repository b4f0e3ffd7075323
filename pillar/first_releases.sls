#!py
"""The releases that this server's applications start with when it is blank: what is served now, or the first one."""

import insync_inventory
import insync_releases


def run():
    """
    Return ``{"first_releases": {application: {"lock": text, "slot": str}}}``.

    The master also gets ``applications``: the names of all, whose releases it keeps.
    """
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    roles = insync_inventory.roles_of(inventory, __opts__["id"])
    environment = insync_inventory.environment_of(inventory, __opts__["id"])
    found = {"first_releases": insync_releases.for_roles(roots, roles, environment)}
    if insync_inventory.MASTER in roles:
        single = insync_releases.single(roots, inventory)
        found["applications"] = sorted({*insync_inventory.all_pools(inventory), *single})
    return found
