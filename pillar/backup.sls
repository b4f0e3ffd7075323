#!py|gpg
"""With what this server backs up its data, from the site folder; a missing key fails the render."""

import insync_backup_keys
import insync_inventory


def run():
    """Return ``{"secrets": {"backup": ...}}``; the one that removes old backups gets ``backup_passwords`` of all too."""
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    return {"secrets": insync_backup_keys.of_host(roots, inventory, __opts__["id"])}
