"""
The forum: its release with its database, its administrator and settings. No secret ever is in changes or comments, nor
in arguments, which Salt's debug log and job cache keep: states get ``role:key``.
"""

import os
import pathlib

import insync_misago
import insync_pending
import insync_postgresql
import insync_systemd
import insync_venv
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_misago"

_OWN = (insync_misago.MisagoError, insync_postgresql.DatabaseError, insync_systemd.UnitError, insync_venv.VenvError)
_FAILURES = (SaltException, *_OWN, OSError)


def __virtual__():
    return __virtualname__


def released(name, lock, index, ca, data, settings, database, units):
    """
    Let the release that ``lock`` pins serve: install it, migrate a copy of the database, and only then switch to it.

    Where there is no database, one is made. What was there before a new release stays as a backup in ``data``. What
    fails, also the new one's start, leaves the one before in service.

    name (str): path of the link to the virtualenv, which is ``<name>-<id of the lock>``; the one before is kept.
    lock (str): ``salt://`` address of the requirements, each with ``==`` and hashes.
    index (str): URL of the package index; ca (str): file with the certificate of its authority.
    data (str): folder of its files; settings (str): folder of misago_conf.py; database (str): its name in PostgreSQL.
    units (list of str): what uses the database.

    .. code-block:: yaml

        misago-release:
          insync_misago.released:
            - name: /opt/misago
            - lock: salt://misago/files/requirements.txt
            - index: https://dev.insync.internal:443/insync/stable/+simple/
            - ca: /etc/insync/fleet-ca.crt
            - data: /var/lib/misago
            - settings: /etc/misago
            - database: misago
            - units: [misago, misago-worker]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    misago = insync_misago.Misago(data, settings, database)
    try:
        text = _served(lock)
        new, old = insync_venv.release_id(text), _serving(name)
        ret["comment"] = f"release {new} is in service"
        if old == new and misago.is_there():
            return ret
        changes = {"release": {"old": old, "new": new}}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"release {new} would be put in service"}
        link, home = pathlib.Path(name), pathlib.Path(f"{name}-{new}")
        insync_venv.build(home, text, index=index, ca=ca)
        insync_misago.collect_static(misago, home)
        insync_misago.upgrade(misago, home, link, units)
        _remove_others(link, {new, old})
    except insync_postgresql.DatabaseError as exc:
        return {**ret, **_failure(f"{name}: {exc}")}
    except _FAILURES as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def provisioned(name, data, settings, database, script, admin, password, values):
    """
    Bring the administrator and the declared settings in step; other accounts and settings are left alone.

    name (str): Misago's virtualenv.
    data, settings, database (str): as for ``released``.
    script (str): path of provision.py.
    admin (dict): name and email of the administrator; password (str): where the password is in the secrets.
    values (dict): setting -> value.

    .. code-block:: yaml

        misago-declared:
          insync_misago.provisioned:
            - name: /opt/misago
            - data: /var/lib/misago
            - settings: /etc/misago
            - database: misago
            - script: /usr/local/lib/insync-misago/provision.py
            - admin: {name: ops, email: ops@insynchq.com}
            - password: forum:admin_password  # a place in the secrets
            - values: {forum_name: Insync forums}
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "administrator and settings are as declared"}
    misago = insync_misago.Misago(data, settings, database)
    try:
        wanted = {**admin, "password": _secret(password), "values": values, "test": __opts__["test"]}
        if __opts__["test"] and not misago.is_there():
            fresh = {f"administrator {admin['name']}": {"old": "absent", "new": "present"}}
            return {**ret, "changes": fresh, "result": None, "comment": "would be made"}
        changes = insync_misago.provision(misago, name, script, wanted)
    except (insync_misago.MisagoError, insync_postgresql.DatabaseError) as exc:
        return {**ret, **_failure(f"{name}: {exc}")}
    except _FAILURES as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    if changes and __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": "would be changed"}
    return {**ret, "changes": changes}


def _failure(reason):
    return insync_pending.failure(reason, __opts__["test"], __low__, __lowstate__, __running__)


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
