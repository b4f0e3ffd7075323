"""The first release of each application: what a blank server starts with, until the release verbs take over."""

import pathlib

import insync_site


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
    Return ``{application: lock text}`` for the applications that ``roles`` (list of str) run.

    roots (list of str): the pillar roots; the site folder is one of them.
    Raises insync_site.SiteError naming the lock that is missing from the site folder, or empty.
    """
    return {app: _lock(roots, f"releases/{app}.txt") for app in apps_of(roots, roles)}


def _lock(roots, name):
    for root in roots:
        path = pathlib.Path(root, name)
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if "==" in text and "--hash=sha256:" in text:
                return text
            raise insync_site.SiteError(f"{name}: no requirements with == and hashes; see docs/web.md")
    raise insync_site.SiteError(f"{name}: no such file in the site folder ({roots[-1]}); see docs/web.md")
