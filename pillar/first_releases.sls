#!py
"""What this server starts with when it is blank: the releases that are served now, or the first ones; in which slot."""

import insync_inventory
import insync_releases


def run():
    """
    Return ``{"first_releases": {application: {"lock": text, "slot": str}}}``.

    A balancer also gets ``serving_slots``: {pool: slot}. The master also gets ``applications``: the names of all, whose
    releases it keeps.
    """
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    roles = insync_inventory.roles_of(inventory, __opts__["id"])
    environment = insync_inventory.environment_of(inventory, __opts__["id"])
    found = {"first_releases": insync_releases.for_roles(roots, roles, environment)}
    if insync_inventory.BALANCER in roles:
        found["serving_slots"] = insync_releases.slots(inventory, environment)
    if insync_inventory.MASTER in roles:
        single = insync_releases.single(roots, inventory)
        found["applications"] = sorted({*insync_inventory.all_pools(inventory), *single})
    return found
