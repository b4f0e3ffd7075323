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

    roots (list of str): the pillar roots. inventory (dict): as insync_inventory.load returns it.
    """
    pools, found = insync_inventory.pools(inventory), {}
    for role in sorted({role for host in inventory["hosts"].values() for role in host["roles"]}):
        for app in apps_of(roots, [role]):
            if app not in pools:
                found[app] = insync_inventory.hosts_with(inventory, role)
    return found


def for_roles(roots, roles, records=insync_serving.RECORDS):
    """
    Return ``{application: {"lock": text, "slot": str}}`` for those of ``roles`` (list of str) that have a lock.

    The slot is "" for the first release. A site folder that has no lock yet is no mistake: a lock is made from the
    index, which is a server of the fleet.

    roots (list of str): the pillar roots; the site folder is one of them.
    records (str or pathlib.Path): where the release verbs keep what each pool serves.
    Raises insync_site.SiteError naming the lock that pins nothing, as an empty file does.
    """
    found = {app: _serving(app, records) or _first(roots, app) for app in apps_of(roots, roles)}
    return {app: release for app, release in found.items() if release["lock"]}


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
