"""States of single components, for verbs on ct1 that have to know whether all went well."""

import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync_states"
# They only look, and are red until a backup is made: that is no reason to stop half way.
_ALARMS = "insync_backup_|-"


def __virtual__():
    return __virtualname__


@insync_verb.checked(SaltInvocationError)
def apply(*components):
    """
    Apply the states of components, with the pillar as it is now, which the minion keeps.

    components (str): such as ``firewall``; the highstate if none is named.

    Returns the ids of the states that changed something (list of str). Raises CommandExecutionError with what the first
    failed state says; old backups are no failure here.

    CLI Example:

    .. code-block:: bash

        salt db insync_states.apply mariadb firewall
    """
    __salt__["saltutil.refresh_pillar"](wait=True)
    found = __salt__["state.apply"](*[",".join(components)] * bool(components), queue=insync_verb.QUEUE)
    if not isinstance(found, dict):
        raise CommandExecutionError(" ".join(map(str, found))[:500])
    failed = [one for key, one in found.items() if one["result"] is False and not key.startswith(_ALARMS)]
    failed.sort(key=lambda one: one.get("__run_num__", 0))
    if failed:
        # Those that only wait for it say less.
        first = next((one for one in failed if not one["comment"].startswith("One or more requisite")), failed[0])
        raise CommandExecutionError(f"{first.get('__id__', 'state')}: {' '.join(first['comment'].split())[:500]}")
    # An alarm's is there still, and would make this a failure.
    __context__["retcode"] = 0
    return sorted(one["__id__"] for one in found.values() if one["changes"])
