"""What roles declare of their data beside MariaDB: where it is, and how it is copied; or why there is none."""

import pathlib

import insync_site

KEY = "backup"
# What can be said of one kind of data, beside `none`.
ENGINES = ("files", "hg", "mariadb", "postgresql", "redis", "sqlite")
MORE = ("after", "exclude", "units", "unless", "when")
_TEXTS = ("hg", "postgresql", "redis", "unless")


def of_roles(roots, roles):
    """
    Return what ``roles`` (list of str) declare: kind -> {files, sqlite, ..., or none: the reason}.

    roots (list of str): the pillar roots. Raises insync_site.SiteError for what cannot be meant.
    """
    found = {}
    for role in roles:
        name = f"role/{role}.sls"
        if any(pathlib.Path(root, name).is_file() for root in roots):
            for kind, what in insync_site.read(roots, name).get(KEY, {}).items():
                problem = _problem(what) or (
                    "is another role's too, and other data" if found.get(kind, what) != what else ""
                )
                if problem:
                    raise insync_site.SiteError(f"{name}: {KEY}.{kind}: {problem}")
                found[kind] = what
    return found


def kinds(declared, roles):
    """
    Return what of ``declared`` (dict: kind -> how) is to be backed up, as far as the inventory says.

    roles (collection of str): those that the servers of its environment play.
    """
    elsewhere = {kind for kind, what in declared.items() if "unless" in what and what["unless"] in roles}
    return {kind: what for kind, what in declared.items() if "none" not in what and kind not in elsewhere}


def applies(what, pillar):
    """Return whether ``what`` (dict), how a kind of data is backed up, is meant for a server with this ``pillar``."""
    if "when" not in what:
        return True
    key, more, value = what["when"]
    return key in pillar and more in pillar[key] and pillar[key][more] == value


def _problem(what):
    """Return what is wrong with a declaration (str), "" if nothing."""
    if not isinstance(what, dict) or not what:
        return "says neither what the data is, nor why there is none"
    if "none" in what:
        if len(what) > 1:
            return "there cannot be data, and a reason why there is none"
        return "" if isinstance(what["none"], str) else "none: is not a text"
    for key, value in what.items():
        if key not in (*ENGINES, *MORE):
            return f"'{key}' is not one of none, {', '.join((*ENGINES, *MORE))}"
        if not isinstance(value, str if key in _TEXTS else list) or not value:
            return f"{key}: is not {'a text' if key in _TEXTS else 'a list with something in it'}"
        if key == "mariadb" and "postgresql" in what:
            return "mariadb and postgresql: a restore exchanges one of them; let each be a kind of its own"
        if key == "when" and len(value) != 3:
            return "when: is not a key of the pillar, a key in it, and a value"
        relative = [path for path in ([value] if key in ("hg", "redis") else value) if not path.startswith("/")]
        if key in ("files", "hg", "redis", "sqlite", "exclude") and relative:
            return f"{key}: {relative[0]}: does not begin with /"
    return "" if any(key in ENGINES for key in what) else "names no data"
