"""Users of a role that has left: they go, unless they own data that stays."""

import pathlib

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_user"


def __virtual__():
    return __virtualname__


def absent(name, data=(), disposable=(), package=""):
    """
    Remove the system user ``name`` and its group, unless it owns data.

    name (str): the user; nothing of its runs any more.
    data (list of str): the folders of its data. Empty ones are removed; one that is not stays as it is, with the user.
    disposable (list of str): names of files in these folders that are no data, such as caches; they are removed.
    package (str): the Debian package that has made the user and needs it until it is purged: dpkg installs nothing any
        more while a user is missing that one of its overrides of owners names.

    .. code-block:: yaml

        devpi-absent-user:
          insync_user.absent:
            - name: devpi
            - data: [/var/lib/devpi]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"there is no user {name}"}
    try:
        folders = [pathlib.Path(path) for path in data if pathlib.Path(path).is_dir()]
        files = [folder / one for folder in folders for one in disposable if (folder / one).is_file()]
        kept = [str(folder) for folder in folders if set(folder.iterdir()) - set(files)]
        empty = [folder for folder in folders if str(folder) not in kept]
        needed = bool(package) and package in {**_packages(), **_packages(removed=True)}
        gone = not kept and not needed and bool(__salt__["user.info"](name))
        if kept:
            ret["comment"] = f"{name} stays: its data in {', '.join(kept)} does"
        elif needed:
            ret["comment"] = f"{name} stays: the package {package} needs it until it is purged"
        elif gone:
            ret["comment"] = f"the user {name} is removed"
        changes = {str(one): "remove" for one in (*files, *empty, *([name] if gone else []))}
        if not changes or __opts__["test"]:
            return {**ret, "changes": changes, "result": None if changes else True}
        _remove(files, empty, name if gone else "")
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def _packages(**options):
    return __salt__["pkg.list_pkgs"](**options)


def _remove(files, folders, user):
    for file in files:
        file.unlink()
    for folder in folders:
        folder.rmdir()
    if user:
        if not __salt__["user.delete"](user):
            raise CommandExecutionError("it cannot be removed: does a process of its still run?")
        if __salt__["group.info"](user):
            __salt__["group.delete"](user)
