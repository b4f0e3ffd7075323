"""Backups of the database that are as new as they have to be."""

import datetime
import pathlib

import insync_db_record
import insync_mariadb_seed

__virtualname__ = "insync_backup"


def __virtual__():
    return __virtualname__


def fresh(name, hours):
    """
    Fail while the last good backup of a kind is too old. It looks only at what this server has recorded itself.

    name (str): folder of the server's data; before that is known as ours, nobody waits for a backup of it.
    hours (dict): kind -> how old the last good one may be.

    .. code-block:: yaml

        mariadb-backup-fresh:
          insync_backup.fresh:
            - name: /var/lib/mysql
            - hours: {physical: 26, binlogs: 1}
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every backup is as new as it has to be"}
    try:
        seed = insync_mariadb_seed.marker(pathlib.Path(name))
        if not seed:
            return {**ret, "comment": "there is nothing to back up yet"}
        since = datetime.datetime.fromisoformat(seed["at"])
        stale = insync_db_record.stale(hours, since)
    except (OSError, ValueError, KeyError) as exc:
        return {**ret, "result": False, "comment": f"it cannot be known how old the backups are: {exc}"}
    if stale:
        remedy = "see 'journalctl -u mariadb-backup@*', and 'salt-call insync.backup kind=...'"
        return {**ret, "result": False, "comment": f"{'; '.join(stale)}; {remedy}"}
    return ret
