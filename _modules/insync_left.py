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
    Remove, for good, what the roles that this server has left still have here: data, users, and what packages kept.

    test (bool): only tell the plan. It does so unless ``test=False`` is said.

    Those are the roles under ``retired`` in the inventory, all of them. Of their packages, which the highstate has
    removed, settings and logs go. It refuses before the highstate has done its part, and what a role that stays needs.
    Backups in the bucket stay, and so does the record of what was done.

    Returns a dict: ``would_remove`` or ``removed`` (path -> how much, and when it was last changed), ``users`` and
    ``packages`` (lists of str). Raises CommandExecutionError.

    CLI Example:

    .. code-block:: bash

        salt dev insync.remove_data
        salt dev insync.remove_data test=False
    """
    test = insync_verb.flag(test=test)
    with insync_verb.called(insync_data_backup.AREA, "insync.remove_data", kwargs, __grains__["id"], test) as run:
        journal, done = run
        left = _left()
        folders = {one: insync_left_data.told(one) for one in insync_left_data.there(left.paths, left.folders)}
        users = sorted(user for user in left.users if __salt__["user.info"](user))
        packages = _kept(left.packages)
        told = {str(one): size for one, size in folders.items()}
        if test:
            return {"would_remove": told, "users": users, "packages": packages}
        if packages:
            # First, for some look at the data to see what else is theirs.
            with journal.phase("purge", ", ".join(packages)):
                _purge(packages)
            done["packages"] = packages
        done["removed"] = {}
        for folder, size in folders.items():
            with journal.phase(f"remove {folder}", size):
                insync_left_data.remove(folder)
            done["removed"][str(folder)] = size
        for user in users:
            _removed(user, left.users[user])
        return done | {"users": users, "packages": packages}


def _left():
    """What is left of the roles (insync_left_data.Left), once the highstate has nothing to do for their end."""
    left = insync_left_data.of_states(_states())
    if left.any:
        _settled()
    # Somebody may have given a role back meanwhile.
    if insync_left_data.of_states(_states()) != left:
        raise CommandExecutionError("the inventory has changed meanwhile; look at the plan again. Nothing was removed")
    return left


def _states():
    found = __salt__["state.show_lowstate"](queue=False, concurrent=True)
    if not isinstance(found, list) or not all(isinstance(chunk, dict) for chunk in found):
        raise CommandExecutionError(f"the states of this server do not render: {found}"[:500])
    return found


def _settled():
    """Raise CommandExecutionError while something of the roles is there that the highstate would take away."""
    for one in _results("state.highstate", test=True):
        if one["__sls__"].endswith(".absent") and one["result"] is not True:
            more = f"'salt {__grains__['id']} state.highstate' first. Nothing was removed"
            raise CommandExecutionError(f"{one['__id__']} is not done yet; {more}")


def _kept(packages):
    """Those of ``packages`` that are removed, and have kept settings or logs."""
    return sorted(set(packages) & set(__salt__["pkg.list_pkgs"](removed=True)))


def _purge(packages):
    __salt__["pkg.purge"](pkgs=packages)
    left = _kept(packages)
    if left:
        raise CommandExecutionError(f"apt has not purged {', '.join(left)}; see 'apt-get purge'. No data was removed")


def _removed(user, data):
    # The purge of a package takes its user along.
    if not __salt__["user.info"](user):
        return
    (one,) = _results("state.single", "insync_user.absent", name=user, data=data)
    if one["result"] is not True:
        raise CommandExecutionError(one["comment"])


def _results(function, *arguments, **keywords):
    """What states report (list of dict) that ``function`` (str) runs; it waits for those that run already."""
    found = __salt__[function](*arguments, queue=insync_verb.QUEUE, **keywords)
    # What has failed is told by whoever asks.
    __context__["retcode"] = 0
    if not isinstance(found, dict):
        raise CommandExecutionError(" ".join(map(str, found))[:500])
    return list(found.values())
