"""Who may enter a server: those declared, and nobody else."""

import grp
import pwd

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_operators"


def __virtual__():
    return __virtualname__


def only(name, users):
    """
    Remove every user whose primary group is ``name`` and who is not one of ``users``; homes are kept.

    name (str): the operators' primary group.
    users (list of str): the operators that pillar declares.

    .. code-block:: yaml

        operators-leavers:
          insync_operators.only:
            - name: operators
            - users: [alice, bob]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "nobody has left"}
    leavers = _leavers(name, users)
    if not leavers:
        return ret
    listed = ", ".join(leavers)
    changes = {user: {"old": "present", "new": "removed"} for user in leavers}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"would remove {listed}"}
    try:
        for user in leavers:
            _remove(user)
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"removed {listed}; their homes are kept"}


def _leavers(group, users):
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        return []
    return sorted(user.pw_name for user in pwd.getpwall() if user.pw_gid == gid and user.pw_name not in users)


def _remove(user):
    # Sessions end first, or the leaver would keep the shell that is open.
    __salt__["cmd.retcode"](["loginctl", "terminate-user", user], python_shell=False, ignore_retcode=True)
    if not __salt__["user.delete"](user, remove=False, force=True):
        raise CommandExecutionError(f"cannot remove the user {user}; see 'journalctl -t userdel'")
