"""With what each server backs up its data: a password and a key of the bucket of its own, from the site folder."""

import insync_data_declared
import insync_inventory
import insync_site

FOLDER = "backups"
KEYS = {
    "password": "with which its backups are encrypted; keep a copy where no server is",
    "s3_access_key": "with which it adds to what is below its name in the bucket",
    "s3_secret_key": "of the access key",
}
KEEPER = "backup_retention"


def servers(roots, inventory):
    """Return the servers (list of str) with data that is backed up; roots (list of str): the pillar roots."""
    return [host for host in inventory["hosts"] if kinds(roots, inventory, host)]


def kinds(roots, inventory, host):
    """Return what ``host`` (str) keeps and backs up (dict: kind -> how); arguments as for ``of_host``."""
    environment = insync_inventory.environment_of(inventory, host)
    there = [one for one in inventory["hosts"] if insync_inventory.environment_of(inventory, one) == environment]
    played = {role for one in there for role in insync_inventory.roles_of(inventory, one)}
    declared = insync_data_declared.of_roles(roots, insync_inventory.roles_of(inventory, host))
    return insync_data_declared.kinds(declared, played)


def of_host(roots, inventory, host):
    """
    Return the secrets (dict) for the backups of ``host`` (str).

    They are backup, if it has data, and backup_passwords (server -> password), if it removes old ones of all.

    roots (list of str): the pillar roots; the site folder is the last one. inventory (dict): as it is loaded.
    Raises insync_site.SiteError naming the file and the key that is missing or surplus.
    """
    found = {"backup": _of(roots, host)} if kinds(roots, inventory, host) else {}
    if KEEPER in insync_inventory.roles_of(inventory, host):
        found["backup_passwords"] = {one: _of(roots, one)["password"] for one in servers(roots, inventory)}
    return found


def problems(roots, inventory):
    """Return what is wrong with the keys in the site folder, a line each; arguments as for ``of_host``."""
    found = []
    try:
        needed = servers(roots, inventory)
    except insync_site.SiteError as exc:
        return [str(exc)]
    for host in needed:
        try:
            _of(roots, host)
        except insync_site.SiteError as exc:
            found.append(str(exc))
    return found


def _of(roots, host):
    name = f"{FOLDER}/{host}.yaml"
    return insync_site.complete(insync_site.read(roots, name), name, KEYS)
