#!py
"""The repositories of the Mercurial server, from the site folder."""

import insync_hg
import insync_inventory


def run():
    """Return ``{"hg_repositories": {name: {read, push, keys}}}`` for a server that plays hg_server, else {}."""
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    if "hg_server" not in insync_inventory.roles_of(inventory, __opts__["id"]):
        return {}
    return {"hg_repositories": insync_hg.load(roots)}
