"""What a blank server starts with: the release that its pool serves, or the first one, from the site folder."""

import pathlib

import insync_inventory
import insync_serving
import insync_site

FOLDER = "releases"


def apps_of(roots, roles):
    """
    Return the applications (list of str) that ``roles`` (list of str) run, as pillar/role/<role>.sls declares them.

    roots (list of str): the pillar roots.
    """
    names = [f"role/{role}.sls" for role in roles]
    there = [name for name in names if any(pathlib.Path(root, name).is_file() for root in roots)]
    return [app for name in there for app in insync_site.read(roots, name).get("apps", {})]


def single(roots, inventory):
    """
    Return ``{application: its servers}`` (dict of lists of str) of the applications that have one slot.

    Those of another environment than production are called ``staging-mailer``.

    roots (list of str): the pillar roots. inventory (dict): as insync_inventory.load returns it.
    """
    pools, found = insync_inventory.pools(inventory), {}
    for environment in insync_inventory.environments(inventory):
        own = [host for host in inventory["hosts"] if insync_inventory.environment_of(inventory, host) == environment]
        for role in sorted({role for host in own for role in inventory["hosts"][host]["roles"]}):
            servers = [host for host in own if role in inventory["hosts"][host]["roles"]]
            for app in set(apps_of(roots, [role])) - pools.keys():
                found[insync_inventory.application_name(environment, app)] = servers
    return found


def for_roles(roots, roles, environment=insync_inventory.PRODUCTION, records=insync_serving.RECORDS):
    """
    Return ``{application: {"lock": text, "slot": str}}`` for those of ``roles`` (list of str) that have a lock.

    The slot is "" for the first release. A site folder that has no lock yet is no mistake: a lock is made from the
    index, which is a server of the fleet.

    roots (list of str): the pillar roots; the site folder is one of them.
    environment (str): the server's; another one than production has its own releases, such as staging-web.
    records (str or pathlib.Path): where the release verbs keep what each pool serves.
    Raises insync_site.SiteError naming the lock that pins nothing, as an empty file does.
    """
    names = {app: insync_inventory.application_name(environment, app) for app in apps_of(roots, roles)}
    found = {app: _serving(name, records) or _first(roots, name) for app, name in names.items()}
    return {app: release for app, release in found.items() if release["lock"]}


def slots(inventory, environment, records=insync_serving.RECORDS):
    """
    Return ``{pool: slot}`` (dict of str) of what serves in ``environment`` (str), for a balancer that is made anew.

    A pool that no release verb has moved yet is left out: it serves in its first slot.

    inventory (dict): as insync_inventory.load returns it. records: as for ``for_roles``. Raises insync_site.SiteError.
    """
    names = {pool: insync_inventory.application_name(environment, pool) for pool in insync_inventory.pools(inventory)}
    found = {pool: _serving(name, records) for pool, name in names.items()}
    return {pool: one["slot"] for pool, one in found.items() if one}


def _serving(app, records):
    try:
        found = insync_serving.read(app, records)
    except (OSError, ValueError) as exc:
        raise insync_site.SiteError(f"what {app} serves cannot be read: {exc}; a release verb writes it anew") from exc
    return {key: found[key] for key in ("lock", "slot")} if found else None


def _first(roots, app):
    return {"lock": _lock(roots, f"{FOLDER}/{app}.txt"), "slot": ""}


def _lock(roots, name):
    for path in (pathlib.Path(root, name) for root in roots):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if "==" in text and "--hash=sha256:" in text:
                return text
            raise insync_site.SiteError(f"{name}: no requirements with == and hashes; see docs/web.md")
    return ""
