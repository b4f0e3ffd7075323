"""Who may enter a server: those declared, and nobody else."""

import grp
import pwd

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_operators"


def __virtual__():
    return __virtualname__


def only(name, users, groups=()):
    """
    Keep the group ``name`` to ``users``: who else has it as the primary group is removed, with every session (homes are
    kept); who else is a member of it, or of one of ``groups``, leaves the group.

    name (str): the operators' primary group, the one that ssh lets in.
    users (list of str): the operators that pillar declares.
    groups (list of str): the further groups that only operators may be in.

    .. code-block:: yaml

        operators-leavers:
          insync_operators.only:
            - name: operators
            - users: [alice, bob]
            - groups: [ops, admin]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "nobody has left"}
    leavers = _leavers(name, users)
    guests = _guests([name, *groups], {*users, *leavers})
    changes = {user: {"old": "present", "new": "removed"} for user in leavers}
    for user, found in guests.items():
        changes[user] = {"old": f"in {', '.join(found)}", "new": "in none of them"}
    if not changes:
        return ret
    listed = ", ".join(changes)
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"would remove {listed}"}
    try:
        for user in leavers:
            _remove(user)
        for user, found in guests.items():
            _leave(user, found)
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"removed {listed}; homes are kept"}


def _leavers(group, users):
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        return []
    return sorted(user.pw_name for user in pwd.getpwall() if user.pw_gid == gid and user.pw_name not in users)


def _guests(groups, known):
    """{user: [groups]} of those who are members of ``groups`` beside the one that they have as users."""
    found = {}
    for group in grp.getgrall():
        for user in group.gr_mem if group.gr_name in groups else ():
            if user not in known:
                found.setdefault(user, []).append(group.gr_name)
    return found


def _remove(user):
    # Sessions end first, or the leaver would keep an open shell; not every server has a logind that knows them.
    for command in (["loginctl", "terminate-user", user], ["pkill", "-KILL", "-u", user]):
        __salt__["cmd.retcode"](command, python_shell=False, ignore_retcode=True)
    if not __salt__["user.delete"](user, remove=False, force=True):
        raise CommandExecutionError(f"cannot remove the user {user}; see 'journalctl -t userdel'")


def _leave(user, groups):
    for group in groups:
        if __salt__["cmd.retcode"](["gpasswd", "--delete", user, group], python_shell=False) != 0:
            raise CommandExecutionError(f"cannot remove {user} from the group {group}; see 'gpasswd --delete'")
