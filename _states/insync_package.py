"""Packages of a role that has left: they go, unless the roles that stay need them."""

import fnmatch

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_package"


def __virtual__():
    return __virtualname__


def absent(name, pkgs, **_):
    """
    Remove packages, and keep those that other states of the same run install, with what these depend on.

    name (str): names the state only.
    pkgs (list of str): the packages, or patterns of their names such as ``php*``. They are not purged: settings and
    data that are the package's stay.

    Salt's own ``pkg.removed`` would take away what another role of the server has just installed, in every run.

    .. code-block:: yaml

        hg-absent-packages:
          insync_package.absent:
            - pkgs: [gunicorn, mercurial]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "none of them is installed, or all are needed"}
    try:
        installed = __salt__["pkg.list_pkgs"]()
        asked = [one for one in sorted(installed) if any(fnmatch.fnmatchcase(one, pattern) for pattern in pkgs)]
        gone = _without(asked, _wanted() & set(installed))
        if not gone:
            return ret
        ret["comment"] = f"removed: {', '.join(gone)}"
        if __opts__["test"]:
            changes = {one: {"old": installed[one], "new": ""} for one in gone}
            return {**ret, "result": None, "changes": changes, "comment": f"to be removed: {', '.join(gone)}"}
        instead = _simulated(*gone)["Inst"]
        if instead:
            raise CommandExecutionError(f"apt would install {', '.join(sorted(instead))} in place of them")
        changes = __salt__["pkg.remove"](pkgs=gone)
        left = sorted(set(gone) & set(__salt__["pkg.list_pkgs"]()))
        if left:
            raise CommandExecutionError(f"apt has not removed {', '.join(left)}")
    except SaltException as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def _without(asked, needed):
    """Those of ``asked`` that can go without anything ``needed`` going too."""
    if not asked or not needed & _simulated(*asked)["Remv"]:
        return asked
    return [one for one in asked if not needed & _simulated(one)["Remv"]]


def _wanted():
    """The packages that states of this run install."""
    chunks = [chunk for chunk in __lowstate__ if (chunk["state"], chunk["fun"]) == ("pkg", "installed")]
    return {package for chunk in chunks for package in (chunk.get("pkgs") or [chunk["name"]])}


def _simulated(*pkgs):
    """What apt would do to remove packages: those that go with them (Remv), and those that it would install (Inst)."""
    command = ["apt-get", "--simulate", "--quiet=2", "remove", *pkgs]
    done = __salt__["cmd.run_all"](command, python_shell=False, env={"LC_ALL": "C.UTF-8"})
    if done["retcode"] != 0:
        raise CommandExecutionError(f"{' '.join(command)}: {done['stderr'].strip()[-200:]}")
    found = {"Remv": set(), "Inst": set()}
    for action, package, *_ in (line.split() for line in done["stdout"].splitlines() if line.count(" ")):
        found.get(action, set()).add(package)
    return found
