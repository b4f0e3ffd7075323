"""The repositories of the Mercurial server."""

import os
import pathlib
import shutil

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_hg"


def __virtual__():
    return __virtualname__


def repositories(name, repositories, user):
    """
    Make the repositories that are missing in the folder ``name``. One that is no longer declared is kept, and told.

    name (str): the folder, which belongs to root.
    repositories (list of str): their names.
    user (str): whose they are.

    .. code-block:: yaml

        hg-repositories:
          insync_hg.repositories:
            - name: /srv/hg
            - repositories: [website]
            - user: hg
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the repositories are there"}
    try:
        there = _there(name)
        kept = sorted(there - set(repositories))
        if kept:
            ret["comment"] = f"no longer declared, and kept: {', '.join(kept)}"
        missing = [one for one in repositories if one not in there]
        for one in missing:
            if not __opts__["test"]:
                _make(pathlib.Path(name, one), user)
            ret["changes"][one] = {"old": "absent", "new": "present"}
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    if missing and __opts__["test"]:
        ret["result"] = None
    return ret


def _there(folder):
    return {path.parent.name for path in pathlib.Path(folder).glob("*/.hg")}


def _make(path, user):
    """It is there whole, or not at all."""
    if path.exists():
        raise CommandExecutionError(f"{path}: is there, and no repository")
    new = path.with_name(f".{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o750)
    shutil.chown(new, user, user)
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs", "--reset-env"]
    result = __salt__["cmd.run_all"](
        [*become, "hg", "init", str(new)], cwd="/", python_shell=False, ignore_retcode=True, umask="027"
    )
    if result["retcode"] != 0:
        said = (result["stderr"] or result["stdout"]).strip().splitlines() or ["no reason is told"]
        raise CommandExecutionError(f"{path}: {said[-1]}")
    os.rename(new, path)
