"""Users of a role that has left: they go, unless they own data that stays."""

import pathlib

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_user"


def __virtual__():
    return __virtualname__


def absent(name, data=()):
    """
    Remove the system user ``name`` and its group, unless it owns data.

    name (str): the user; nothing of its runs any more.
    data (list of str): the folders of its data. Empty ones are removed; one that is not stays as it is, with the user.

    .. code-block:: yaml

        devpi-absent-user:
          insync_user.absent:
            - name: devpi
            - data: [/var/lib/devpi]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"there is no user {name}"}
    try:
        folders = [pathlib.Path(path) for path in data if pathlib.Path(path).is_dir()]
        kept = [str(path) for path in folders if any(path.iterdir())]
        changes = {str(path): "remove" for path in folders if str(path) not in kept}
        if kept:
            ret["comment"] = f"{name} stays: its data in {', '.join(kept)} does"
        elif __salt__["user.info"](name):
            changes[name] = "remove"
            ret["comment"] = f"the user {name} is removed"
        if not changes or __opts__["test"]:
            return {**ret, "changes": changes, "result": None if changes else True}
        _remove(name, changes)
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def _remove(name, changes):
    for path in changes:
        if path != name:
            pathlib.Path(path).rmdir()
    if name in changes:
        if not __salt__["user.delete"](name):
            raise CommandExecutionError("it cannot be removed: does a process of its still run?")
        if __salt__["group.info"](name):
            __salt__["group.delete"](name)
