"""Where an installation differs from the tunables in pillar/role/: settings.yaml in the site folder, by role."""

import insync_inventory
import insync_site
import salt.utils.dictupdate

FILE = "settings.yaml"


def for_roles(roots, roles):
    """
    Return the pillar (dict) that the site folder sets for servers with ``roles``.

    roots (list of str): the pillar roots; the site folder is one of them.
    roles (list of str): the roles of the server; where two set the same key, the later one's value holds.
    Raises insync_site.SiteError if the file is missing, or if a role's part is not a mapping.
    """
    settings = insync_site.read(roots, FILE)
    found = {}
    for role in filter(settings.__contains__, roles):
        if not isinstance(settings[role], dict):
            raise insync_site.SiteError(f"{FILE}: {role}: expected a mapping")
        salt.utils.dictupdate.update(found, settings[role])
    return found


def check(roots, roles):
    """
    Raise insync_site.SiteError as ``for_roles`` does, and for settings of roles that no server plays.

    roots (list of str), as above.
    roles (list of str): every role that a server plays.
    """
    for_roles(roots, roles)
    for role in insync_site.read(roots, FILE):
        if role not in roles:
            raise insync_site.SiteError(f"{FILE}: no server plays '{role}'{insync_inventory.hint(role, roles)}")
