"""Packages of a role that has left: they go, unless the roles that stay need them."""

import insync_chunks
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_package"


def __virtual__():
    return __virtualname__


def absent(name, pkgs, **_):
    """
    Remove packages, and keep those that other states of the server install, with what these depend on.

    name (str): names the state only.
    pkgs (list of str): the packages. They are not purged: settings and data that are the package's stay.

    What apt removes along, because it cannot be without them, is in the changes too. If that is a package that somebody
    has installed on purpose, nothing is removed, and the state fails.

    Salt's own ``pkg.removed`` would take away what another role of the server has just installed, in every run.

    .. code-block:: yaml

        hg-absent-packages:
          insync_package.absent:
            - pkgs: [gunicorn, mercurial]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "none of them is installed, or all are needed"}
    try:
        installed = __salt__["pkg.list_pkgs"]()
        asked = sorted(set(pkgs) & set(installed))
        needed = _wanted() & set(installed) if asked else set()
        gone = _without(asked, needed)
        if not gone:
            return ret
        along = _along(gone, set(installed), needed)
        told = ", ".join(gone) + (f", and with them {', '.join(along)}" if along else "")
        if __opts__["test"]:
            changes = {one: {"old": installed[one], "new": ""} for one in [*gone, *along]}
            return {**ret, "result": None, "changes": changes, "comment": f"to be removed: {told}"}
        changes = __salt__["pkg.remove"](pkgs=gone)
        left = sorted(set(gone) & set(__salt__["pkg.list_pkgs"]()))
        if left:
            raise CommandExecutionError(f"apt has not removed {', '.join(left)}")
    except SaltException as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"removed: {told}"}


def _without(asked, needed):
    """Those of ``asked`` that can go without anything ``needed`` going too."""
    if not asked or not needed & _simulated(*asked)["Remv"]:
        return asked
    return [one for one in asked if not needed & _simulated(one)["Remv"]]


def _along(gone, installed, needed):
    """What else apt would remove with ``gone``; raises if somebody would miss it."""
    # In test mode they are still there, and would have to go along.
    before = set(_without(sorted(_named(before=True) & installed), needed)) - set(gone)
    done = _simulated(*gone, *sorted(before))
    if done["Inst"]:
        raise CommandExecutionError(f"apt would install {', '.join(sorted(done['Inst']))} in place of them")
    along = done["Remv"] - before - set(gone)
    if along & needed:
        raise CommandExecutionError(f"apt would remove {', '.join(sorted(along & needed))} too, which other roles need")
    missed = " ".join(sorted(along & _on_purpose() - _named()))
    if missed:
        raise CommandExecutionError(
            f"apt would remove {missed} too, which somebody has installed on purpose; "
            f"if it is not needed any more: apt-mark auto {missed}"
        )
    return sorted(along)


def _named(before=False):
    """The packages that states like this one name in this run; those that come before it alone, if so asked."""
    chunks = insync_chunks.of(__lowstate__, __virtualname__, "absent")
    own = next((place for place, chunk in enumerate(chunks) if chunk["__id__"] == __low__["__id__"]), 0)
    return {package for chunk in (chunks[:own] if before else chunks) for package in chunk["pkgs"]}


def _on_purpose():
    """The packages that somebody, or a state, has asked for by name."""
    return set(_said(["apt-mark", "showmanual"]).split())


def _wanted():
    """The packages that states of this run install, and those of the highstate, of which this run may be a part."""
    key = f"insync_package.highstate.{__instance_id__}"
    if key not in __context__:
        __context__[key] = insync_chunks.installs(_highstate())
    return insync_chunks.installs(__lowstate__) | __context__[key]


def _highstate():
    # A run that waits its turn, or this one, is no reason not to look.
    chunks = __salt__["state.show_lowstate"](queue=False, concurrent=True)
    wrong = [chunk for chunk in chunks if not isinstance(chunk, dict)]
    if wrong:
        raise CommandExecutionError(f"what the roles of this server need is not known: {wrong[0]}")
    return chunks


def _simulated(*pkgs):
    """What apt would do to remove packages: those that go with them (Remv), and those that it would install (Inst)."""
    found = {"Remv": set(), "Inst": set()}
    said = _said(["apt-get", "--simulate", "--quiet=2", "remove", *pkgs])
    for action, package, *_ in (line.split() for line in said.splitlines() if line.count(" ")):
        found.get(action, set()).add(package)
    return found


def _said(command):
    done = __salt__["cmd.run_all"](command, python_shell=False, env={"LC_ALL": "C.UTF-8"})
    if done["retcode"] != 0:
        raise CommandExecutionError(f"{' '.join(command)}: {done['stderr'].strip()[-200:]}")
    return done["stdout"]
