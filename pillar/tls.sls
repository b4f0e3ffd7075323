#!py|gpg
"""The fleet's own CA, and this server's certificate of it, from the site folder; a missing one fails the render."""

import insync_inventory
import insync_tls


def run():
    """Return ``{"tls": {"ca": <text>}}``; a server with a TLS service gets ``certificate`` and ``key`` (encrypted) too."""
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    return {"tls": insync_tls.of_host(roots, inventory, __opts__["id"])}
