#!py|gpg
"""What this server backs up, and with what, from the site folder; a missing key fails the render."""

import insync_backup_keys
import insync_inventory


def run():
    """
    Return ``{"backup_kinds": [kind], "secrets": {"backup": ...}}``.

    The one that removes old backups gets ``backup_passwords`` of all too.
    """
    roots = __opts__["pillar_roots"]["base"]
    inventory = insync_inventory.load(f"{roots[0]}/inventory")
    kinds = sorted(insync_backup_keys.kinds(roots, inventory, __opts__["id"]))
    return {"backup_kinds": kinds, "secrets": insync_backup_keys.of_host(roots, inventory, __opts__["id"])}
