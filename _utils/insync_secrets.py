"""Which secrets a server gets: those of its roles, no more, and not one less."""

import insync_inventory
import insync_site

FOLDER = "secrets"
REQUIRED = "secrets/required.yaml"
SHARED = "secrets/shared.yaml"


def folder(environment):
    """Return where in the site folder the secrets of ``environment`` (str) are."""
    return FOLDER if environment == insync_inventory.PRODUCTION else f"{FOLDER}/{environment}"


def for_roles(roots, roles, environment=insync_inventory.PRODUCTION, providers=None):
    """
    Return ``{role: {key: encrypted value}}``: the secrets of ``roles``, and those of other roles that they share.

    roots (list of str): the pillar roots; the site folder is one of them.
    roles (list of str): the roles of the server.
    environment (str): the server's; each has secrets of its own.
    providers (dict): role -> the environment that has it for this one, as insync_inventory.providers returns it; what
        nobody has is not shared. Without it, the server's own environment has all.
    Raises insync_site.SiteError naming the file and the key that is missing or surplus.
    """
    required = insync_site.read(roots, REQUIRED)
    found = {role: _of_role(roots, role, required[role], environment) for role in roles if role in required}
    for role, owner, keys in _shared(roots, required):
        provider = environment if providers is None else providers.get(owner)
        if role in roles and provider:
            values = _of_role(roots, owner, required[owner], provider)
            found.setdefault(owner, {}).update({key: values[key] for key in keys})
    return found


def _shared(roots, required):
    """(role, owner, keys): ``role`` gets these keys of the secrets of ``owner``."""
    for role, owners in insync_site.read(roots, SHARED).items():
        for owner, keys in owners.items():
            for key in keys:
                if key not in required.get(owner, {}):
                    raise insync_site.SiteError(f"{SHARED}: {role}: there is no secret {owner}.{key} in {REQUIRED}")
            yield role, owner, keys


def _of_role(roots, role, required, environment):
    name = f"{folder(environment)}/{role}.yaml"
    return insync_site.complete(insync_site.read(roots, name), name, required, "secret")
