"""Where an installation differs from the tunables in pillar/role/: settings.yaml in the site folder, by role."""

import pathlib
import re

import insync_inventory
import insync_site
import salt.utils.dictupdate

FILE = "settings.yaml"
# Amounts with a unit, each as the services write it that get it: systemd would ignore a limit of 512MB or 1g.
_AMOUNTS = {
    "a size, in K, M, G or T": re.compile(r"[1-9][0-9]*[KMGT]"),
    "a size, in kb, mb or gb": re.compile(r"[1-9][0-9]*[kmg]b"),
    "a time": re.compile(r"[1-9][0-9]*(us|ms|s|min|h|day|d)"),
}
_KINDS = {bool: "true or false", int: "a whole number", str: "a text", list: "a list", dict: "a mapping"}


def for_roles(roots, roles):
    """
    Return the pillar (dict) that the site folder sets for servers with ``roles``.

    roots (list of str): the pillar roots; the site folder is one of them.
    roles (list of str): the roles of the server; where two set the same key, the later one's value holds.
    Raises insync_site.SiteError if the file is missing, or if something in it is of another kind than what it replaces.
    """
    settings = insync_site.read(roots, FILE)
    found = {}
    for role in filter(settings.__contains__, roles):
        _check_kind(settings[role], _tunables(roots, role), role)
        salt.utils.dictupdate.update(found, settings[role])
    return found


def check(roots, roles):
    """
    Raise insync_site.SiteError as ``for_roles`` does, and for settings of roles that there are none.

    roots (list of str), as above.
    roles (list of str): every role that there is, whether a server plays it or not.
    """
    for_roles(roots, roles)
    for role in insync_site.read(roots, FILE):
        if role not in roles:
            raise insync_site.SiteError(f"{FILE}: there is no role '{role}'{insync_inventory.hint(role, roles)}")


def _tunables(roots, role):
    file = f"role/{role}.sls"
    return insync_site.read(roots, file) if any(pathlib.Path(root, file).is_file() for root in roots) else {}


def _check_kind(found, default, where):
    """Raise SiteError, naming it, if ``found`` or something in it cannot stand where ``default`` does."""
    kind, fits = _kind(default)
    if not fits(found):
        shown = "what it replaces" if isinstance(default, (dict, list)) else repr(default)
        raise insync_site.SiteError(f"{FILE}: {where}: {found!r} is not {kind}, as {shown} is")
    for key, value in found.items() if isinstance(default, dict) else ():
        _check_kind(value, default.get(key), f"{where}.{key}")


def _kind(default):
    """Return what stands where ``default`` does, as (words, function that tells whether a value is such a one)."""
    if default is None:
        return "anything", lambda found: True
    for words, form in _AMOUNTS.items():
        if isinstance(default, str) and form.fullmatch(default):
            return words, lambda found, form=form: isinstance(found, str) and bool(form.fullmatch(found))
    words, needed = _KINDS.get(type(default), "of the same kind"), type(default) in (int, list) and default
    if needed:
        words += " above 0" if type(default) is int else " with something in it"
    return words, lambda found: type(found) is type(default) and (not needed or _something(found))


def _something(found):
    return found > 0 if isinstance(found, int) else bool(found)
