"""
The Sentry server: its release with its databases, and its accounts and projects. No secret ever is in changes or
comments, nor in arguments, which Salt's debug log and job cache keep: states get ``role:key``.
"""

import os
import pathlib

import insync_bugsink
import insync_pending
import insync_systemd
import insync_venv
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_bugsink"

_FAILURES = (SaltException, insync_bugsink.BugsinkError, insync_systemd.UnitError, insync_venv.VenvError, OSError)


def __virtual__():
    return __virtualname__


def released(name, lock, index, ca, data, settings, script, units, user="bugsink"):
    """
    Let the release that ``lock`` pins serve: install it, migrate copies of the databases, and only then switch to it.

    The databases of before stay as a backup in ``data``. What fails, also the new one's start, leaves the one before in
    service.

    name (str): path of the link to the virtualenv, which is ``<name>-<id of the lock>``; the one before is kept.
    lock (str): ``salt://`` address of the requirements, each with ``==`` and hashes.
    index (str): URL of the package index; ca (str): file with the certificate of its authority.
    data (str): folder of the databases; settings (str): folder of bugsink_conf.py.
    script (str): path of databases.py, which copies them.
    units (list of str): what uses the databases.
    user (str): the user that it runs as.

    .. code-block:: yaml

        bugsink-release:
          insync_bugsink.released:
            - name: /opt/bugsink
            - lock: salt://bugsink/files/requirements.txt
            - index: https://dev.insync.internal:443/insync/stable/+simple/
            - ca: /etc/insync/fleet-ca.crt
            - data: /var/lib/bugsink
            - settings: /etc/bugsink
            - script: /usr/local/lib/insync-bugsink/databases.py
            - units: [bugsink, bugsink-snappea]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    bugsink = insync_bugsink.Bugsink(data, settings, user)
    try:
        text = _served(lock)
        new, old = insync_venv.release_id(text), _serving(name)
        ret["comment"] = f"release {new} is in service"
        if old == new and bugsink.is_there():
            return ret
        changes = {"release": {"old": old, "new": new}}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"release {new} would be put in service"}
        link, home = pathlib.Path(name), pathlib.Path(f"{name}-{new}")
        insync_venv.build(home, text, index=index, ca=ca)
        insync_bugsink.upgrade(bugsink, home, link, script, units)
        _remove_others(link, {new, old})
    except _FAILURES as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def provisioned(name, data, settings, script, admin, password, token, team, projects, user="bugsink"):
    """
    Bring the administrator, the token that reads, the team and the projects in step; others are left alone.

    name (str): Bugsink's virtualenv.
    data, settings, user (str): as for ``released``.
    script (str): path of provision.py.
    admin (str): the administrator's e-mail address; password (str): where the password is in the secrets.
    token (str): where the token is in the secrets, 40 digits from 0 to f.
    team (str): the team that the projects belong to.
    projects (dict): name -> {number, key: where its key is in the secrets, max_events}.

    .. code-block:: yaml

        bugsink-accounts:
          insync_bugsink.provisioned:
            - name: /opt/bugsink
            - data: /var/lib/bugsink
            - settings: /etc/bugsink
            - script: /usr/local/lib/insync-bugsink/provision.py
            - admin: ops@insynchq.com
            - password: sentry:admin_password  # a place in the secrets
            - token: sentry:api_token  # another one
            - team: Insync
            - projects: {web: {number: 1, key: 'sentry:web_key', max_events: 10000}}
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "accounts and projects are as declared"}
    bugsink = insync_bugsink.Bugsink(data, settings, user)
    try:
        wanted = {"admin": admin, "password": _secret(password), "token": _secret(token), "team": team}
        wanted["projects"] = insync_bugsink.wanted_projects(projects, _secret)
        if __opts__["test"] and not bugsink.is_there():
            fresh = {f"project {project}": {"old": "absent", "new": "present"} for project in projects}
            return {**ret, "changes": fresh, "result": None, "comment": "would be made"}
        changes = insync_bugsink.provision(bugsink, name, script, {**wanted, "test": __opts__["test"]})
    except insync_bugsink.CommandError as exc:
        run = (__opts__["test"], __low__, __lowstate__, __running__)
        return {**ret, **insync_pending.failure(f"{name}: {exc}", *run)}
    except _FAILURES as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    if changes and __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": "would be changed"}
    return {**ret, "changes": changes}


def _served(lock):
    text = __salt__["cp.get_file_str"](lock)
    if not text:
        raise CommandExecutionError(f"the master does not serve {lock}; deploy the checkout on ct1 again")
    return text


def _serving(name):
    home = pathlib.Path(os.path.realpath(name))
    return home.name.rpartition("-")[2] if insync_venv.is_complete(home) else None


def _remove_others(link, kept):
    for lock in link.parent.glob(f"{link.name}-*.lock"):
        if lock.stem.rpartition("-")[2] not in kept:
            insync_venv.remove(lock.with_suffix(""))


def _secret(where):
    role, _, key = where.partition(":")
    value = __pillar__.get("secrets", {}).get(role, {}).get(key)
    if not value:
        raise CommandExecutionError(f"there is no secret {where}; see pillar/secrets/")
    return str(value)
