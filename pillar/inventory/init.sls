#!py
"""What the inventory says to this server. The master sets the id from the authenticated key; grains have no say."""

import pathlib

import insync_inventory


def run():
    """Return the server's slice; an id that is no server's raises insync_inventory.InventoryError."""
    inventory = insync_inventory.load(_directory(__opts__["pillar_roots"]["base"]))
    return insync_inventory.slice_for(inventory, __opts__["id"])


def _directory(roots):
    for root in roots:
        directory = pathlib.Path(root, "inventory")
        if (directory / "hosts.yaml").is_file():
            return directory
    raise insync_inventory.InventoryError(f"hosts.yaml: in no pillar root ({', '.join(roots)})")
