"""The first release of each application: what a blank server starts with, until the release verbs take over."""

import pathlib

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


def for_roles(roots, roles):
    """
    Return ``{application: lock text}`` for those applications of ``roles`` (list of str) that have a lock.

    A site folder that has none yet is no mistake: a lock is made from the index, which is a server of the fleet.

    roots (list of str): the pillar roots; the site folder is one of them.
    Raises insync_site.SiteError naming the lock that pins nothing, as an empty file does.
    """
    found = {app: _lock(roots, f"{FOLDER}/{app}.txt") for app in apps_of(roots, roles)}
    return {app: lock for app, lock in found.items() if lock}


def _lock(roots, name):
    for path in (pathlib.Path(root, name) for root in roots):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if "==" in text and "--hash=sha256:" in text:
                return text
            raise insync_site.SiteError(f"{name}: no requirements with == and hashes; see docs/web.md")
    return ""
