"""The repositories of the Mercurial server, as the site folder declares them: who reads and pushes, by what keys."""

import re

import insync_operators
import insync_site

FILE = "hg.yaml"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
# As passwords are kept under them, and as hgweb's lists separate them.
_USER = re.compile(r"[a-z][a-z0-9-]{0,30}")


def load(roots):
    """
    Return ``{repository: {"read": [user], "push": [user], "keys": {name: {"key": str, "push": bool}}}}``.

    roots (list of str): the pillar roots; the site folder is one of them.
    Raises insync_site.SiteError naming the repository and what is wrong with it.
    """
    repositories = insync_site.read(roots, FILE).get("repositories")
    if not isinstance(repositories, dict):
        raise insync_site.SiteError(f"{FILE}: repositories: expected a mapping; {{}} if there are none yet")
    for name, repository in repositories.items():
        problem = _problem(name, repository)
        if problem:
            raise insync_site.SiteError(f"{FILE}: {problem}")
    _check_keys_are_of_one(repositories)
    return repositories


def _problem(name, repository):
    if not _REPOSITORY.fullmatch(str(name)):
        return f"'{name}' is not a name of a repository (letters, digits, '.', '_' and '-')"
    if not isinstance(repository, dict) or set(repository) != {"read", "push", "keys"}:
        return f"{name}: expected exactly the keys read, push and keys"
    for right in ("read", "push"):
        users = repository[right]
        if not isinstance(users, list):
            return f"{name}.{right}: expected a list"
        wrong = [user for user in users if not _USER.fullmatch(str(user))]
        if wrong:
            return f"{name}.{right}: '{wrong[0]}' is not a name of a user (a-z, 0-9 and '-')"
    if not isinstance(repository["keys"], dict):
        return f"{name}.keys: expected a mapping; {{}} if nobody comes by ssh"
    problems = (_key_problem(f"{name}.keys.{label}", key) for label, key in repository["keys"].items())
    return next(filter(None, problems), None)


def _key_problem(where, key):
    if not isinstance(key, dict) or set(key) != {"key", "push"}:
        return f"{where}: expected exactly the keys key and push"
    if not isinstance(key["push"], bool):
        return f"{where}.push: expected true or false"
    if not insync_operators.is_key(key["key"]):
        return f"{where}.key: '{str(key['key'])[:30]}...' is not an OpenSSH public key"
    return None


def _check_keys_are_of_one(repositories):
    """sshd takes the first line with a key: it would lead to one of the repositories only."""
    seen = {}
    for name, repository in repositories.items():
        for label, key in repository["keys"].items():
            where, body = f"{name}.keys.{label}", key["key"].split()[1]
            if body in seen:
                raise insync_site.SiteError(f"{FILE}: {where}: a key opens one repository, this one {seen[body]}'s")
            seen[body] = where
