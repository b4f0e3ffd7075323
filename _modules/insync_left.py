"""The operators' verb that removes what roles that have left a server kept there."""

import insync_data_backup
import insync_errors
import insync_left_data
import insync_lock
import insync_verb
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync"

_told = insync_errors.told(insync_left_data.LeftError, insync_lock.Held)


def __virtual__():
    return __virtualname__


@_told
def remove_data(*, test=True, **kwargs):
    """
    Remove, for good, the data of the roles that this server has left, and the users whose it was.

    test (bool): only tell the plan. It does so unless ``test=False`` is said.

    Those are the roles under ``retired`` in the inventory, all of them. It refuses before the highstate has taken the
    rest of them away. Backups in the bucket stay, and so does the record of what was done.

    Returns a dict: ``would_remove`` or ``removed`` (path -> how much, and when it was last changed), and ``users``
    (list of str). Raises CommandExecutionError.

    CLI Example:

    .. code-block:: bash

        salt dev insync.remove_data
        salt dev insync.remove_data test=False
    """
    test = insync_verb.flag(test=test)
    with insync_verb.called(insync_data_backup.AREA, "insync.remove_data", kwargs, __grains__["id"], test) as run:
        journal, done = run
        paths, users = insync_left_data.of_states(_states())
        folders = insync_left_data.there(paths)
        if paths or users:
            _settled()
        done["would_remove" if test else "removed"] = {str(one): insync_left_data.told(one) for one in folders}
        done["users"] = sorted(user for user in users if __salt__["user.info"](user))
        if not test:
            for folder in folders:
                with journal.phase(f"remove {folder}"):
                    insync_left_data.remove(folder)
            for user in done["users"]:
                _removed(user, users[user])
        return dict(done)


def _states():
    found = __salt__["state.show_lowstate"]()
    if not isinstance(found, list) or not all(isinstance(chunk, dict) for chunk in found):
        raise CommandExecutionError(f"the states of this server do not render: {found}"[:500])
    return found


def _settled():
    """Raise CommandExecutionError while something of the roles is there that the highstate would take away."""
    found = __salt__["state.highstate"](test=True, queue=True)
    __context__["retcode"] = 0
    if not isinstance(found, dict):
        raise CommandExecutionError(" ".join(map(str, found))[:500])
    for one in found.values():
        if one["__sls__"].endswith(".absent") and one["result"] is not True:
            more = f"'salt {__grains__['id']} state.highstate' first. Nothing was removed"
            raise CommandExecutionError(f"{one['__id__']} is not done yet; {more}")


def _removed(user, data):
    (one,) = __salt__["state.single"]("insync_user.absent", name=user, data=data, queue=True).values()
    if one["result"] is not True:
        raise CommandExecutionError(one["comment"])
