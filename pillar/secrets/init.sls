#!py|gpg
"""The secrets of this server's roles, from the site folder; a missing or surplus one fails the render."""

import insync_inventory
import insync_secrets


def run():
    """Return ``{"secrets": {role: {key: encrypted value}}}`` for the server that asks."""
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    environment = insync_inventory.environment_of(inventory, __opts__["id"])
    roles = insync_inventory.roles_of(inventory, __opts__["id"])
    providers = insync_inventory.providers(inventory, environment)
    return {"secrets": insync_secrets.for_roles(roots, roles, environment, providers)}
