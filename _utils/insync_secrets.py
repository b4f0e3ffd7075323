"""Which secrets a server gets: those of its roles, no more, and not one less."""

import insync_site


def for_roles(roots, roles):
    """
    Return ``{role: {key: encrypted value}}`` for those of ``roles`` that need secrets.

    roots (list of str): the pillar roots; the site folder is one of them.
    roles (list of str): the roles of the server.
    Raises insync_site.SiteError naming the file and the key that is missing or surplus.
    """
    required = insync_site.read(roots, "secrets/required.yaml")
    return {role: _of_role(roots, role, required[role]) for role in roles if role in required}


def _of_role(roots, role, required):
    name = f"secrets/{role}.yaml"
    values = insync_site.read(roots, name)
    for key in required:
        if not values.get(key):
            raise insync_site.SiteError(f"{name}: secret '{key}' is missing ({required[key]})")
    for key in values:
        if key not in required:
            raise insync_site.SiteError(f"{name}: secret '{key}' is not one of {', '.join(required)}")
    return values
