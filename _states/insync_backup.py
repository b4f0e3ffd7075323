"""Backups that are as new as they have to be."""

import pathlib

import insync_db_record

__virtualname__ = "insync_backup"


def __virtual__():
    return __virtualname__


def fresh(name, hours):
    """
    Fail while the last good backup of a kind is too old. It looks only at what this server has recorded itself.

    name (str): the file with that record; on a new server the hours begin with the first run of this state.
    hours (dict): kind -> how old the last good one may be.

    .. code-block:: yaml

        mariadb-backup-fresh:
          insync_backup.fresh:
            - name: /var/lib/insync/db/backups.json
            - hours: {physical: 26, binlogs: 1}
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every backup is as new as it has to be"}
    try:
        file = pathlib.Path(name)
        if not __opts__["test"] and not file.exists():
            insync_db_record.note(insync_db_record.BEGUN, {}, file)
        stale = insync_db_record.stale(hours, file=file)
    except (OSError, ValueError, KeyError) as exc:
        return {**ret, "result": False, "comment": f"it cannot be known how old the backups are: {exc}"}
    if stale:
        remedy = "see 'journalctl -u data-backup -u mariadb-backup@*', and 'salt-call insync.backup kind=...'"
        return {**ret, "result": False, "comment": f"{'; '.join(stale)}; {remedy}"}
    return ret
