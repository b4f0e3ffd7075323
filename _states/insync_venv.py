"""Programs from the package index, each in a virtualenv that is built out of a lock."""

import os
import pathlib

import insync_venv
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_venv"


def __virtual__():
    return __virtualname__


def installed(name, lock, index=None, ca=None, proxy=None):
    """
    Make the link ``name`` lead to a virtualenv built from ``lock``; the one before stays as the way back.

    name (str): path of the link; the virtualenv is ``<name>-<id of the lock>``.
    lock (str): ``salt://`` address of the requirements, each with ``==`` and hashes.
    index (str): URL of the package index; without it, the public one.
    ca (str): file with the certificate of the authority that vouches for the index; without it, the system's.
    proxy (str): URL of the way out, if there is one.

    .. code-block:: yaml

        devpi-virtualenv:
          insync_venv.installed:
            - name: /opt/devpi
            - lock: salt://devpi/files/requirements.txt
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    try:
        text = _served(lock)
        release = insync_venv.release_id(text)
        ret["comment"] = f"release {release} is installed"
        old = _installed(name)
        if old == release:
            return ret
        changes = {"release": {"old": old, "new": release}}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"release {release} would be installed"}
        _install(name, release, text, index=index, ca=ca, proxy=proxy)
    except (SaltException, insync_venv.VenvError, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def absent(name):
    """
    Remove the link ``name`` and every virtualenv that it led to, with the locks that they were built from.

    name (str): path of the link, as for ``installed``.

    .. code-block:: yaml

        devpi-absent-virtualenv:
          insync_venv.absent:
            - name: /opt/devpi
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"there is no {name}"}
    link = pathlib.Path(name)
    found = sorted(link.parent.glob(f"{link.name}-{'[0-9a-f]' * len(insync_venv.release_id(''))}*"))
    found += [link] if link.is_symlink() or link.exists() else []
    changes = {str(path): "remove" for path in found}
    if not found or __opts__["test"]:
        return {**ret, "changes": changes, "result": None if found else True}
    try:
        for path in found:
            __salt__["file.remove"](str(path))
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"{name} was removed"}


def _served(lock):
    text = __salt__["cp.get_file_str"](lock)
    if not text:
        raise CommandExecutionError(f"the master does not serve {lock}; deploy the checkout on ct1 again")
    return text


def _installed(name):
    home = pathlib.Path(os.path.realpath(name))
    return home.name.rpartition("-")[2] if insync_venv.is_complete(home) else None


def _install(name, release, lock, **where):
    link = pathlib.Path(name)
    before = pathlib.Path(os.path.realpath(name))
    home = link.with_name(f"{link.name}-{release}")
    insync_venv.build(home, lock, **where)
    insync_venv.switch(link, home)
    for old in link.parent.glob(f"{link.name}-{'[0-9a-f]' * len(release)}*"):
        # The lock that one was built from stands beside it.
        if old.with_suffix("") not in (home, before):
            __salt__["file.remove"](str(old))
