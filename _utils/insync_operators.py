"""The people who may enter the servers, as the site folder declares them."""

import pwd
import re

import insync_site

FILE = "operators.yaml"
GROUPS = ("ops", "admin")
UIDS = range(2001, 3000)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256|sk-ssh-ed25519@openssh\.com|ssh-rsa) [A-Za-z0-9+/=]+( .*)?")


def load(roots):
    """
    Return ``{name: {"uid": int, "groups": [str], "keys": [str]}}``.

    roots (list of str): the pillar roots; the site folder is one of them.
    Raises insync_site.SiteError naming the operator and the key that is wrong, or if there is nobody:
    a fleet without operators could not be entered any more.
    """
    operators = insync_site.read(roots, FILE).get("operators") or {}
    if not operators:
        raise insync_site.SiteError(f"{FILE}: no operators; this would lock everybody out")
    uids = {}
    for name, operator in operators.items():
        problem = _problem(name, operator)
        if problem:
            raise insync_site.SiteError(f"{FILE}: {problem}")
        if operator["uid"] in uids:
            raise insync_site.SiteError(f"{FILE}: {name}.uid: {operator['uid']} is already {uids[operator['uid']]}'s")
        uids[operator["uid"]] = name
    return operators


def is_key(text):
    """Return whether ``text`` (anything) is one OpenSSH public key, without options before it."""
    return bool(_KEY.fullmatch(str(text)))


def _problem(name, operator):
    if not _NAME.fullmatch(str(name)):
        return f"'{name}' is not a user name"
    if _is_system(name):
        return f"'{name}' is an account of the system, not a person's"
    if not isinstance(operator, dict) or set(operator) != {"uid", "groups", "keys"}:
        return f"{name}: expected exactly the keys uid, groups and keys"
    if operator["uid"] not in UIDS:
        return f"{name}.uid: {operator['uid']} is not between {UIDS[0]} and {UIDS[-1]}"
    for key in ("groups", "keys"):
        if not isinstance(operator[key], list):
            return f"{name}.{key}: expected a list"
    for group in operator["groups"]:
        if group not in GROUPS:
            return f"{name}.groups: '{group}' is not one of {', '.join(GROUPS)}"
    if not operator["keys"]:
        return f"{name}.keys: no key; to remove a person remove the entry"
    for key in operator["keys"]:
        if not is_key(key):
            return f"{name}.keys: '{str(key)[:30]}...' is not an OpenSSH public key"
    return None


def _is_system(name):
    """Declared as a person, root would get another uid on every server."""
    try:
        return pwd.getpwnam(name).pw_uid < 1000
    except KeyError:
        return False
