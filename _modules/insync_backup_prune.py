"""The operators' verb that removes old backups of the database, on the server that has the key for it."""

import insync_conf
import insync_db_archive
import insync_db_retention
import insync_errors
import insync_fresh_pillar
import insync_lock
import insync_store_errors
import insync_verb
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync"

_told = insync_errors.told(
    insync_db_archive.ArchiveError,
    insync_db_retention.RetentionError,
    insync_conf.ConfError,
    insync_store_errors.StoreError,
    insync_lock.Held,
)


def __virtual__():
    return __virtualname__


@_told
def prune_backups(*, test=True, **kwargs):
    """
    Remove the backups of the database, and the binary logs, that nobody needs any more.

    The last of each of so many days, weeks and months stays, and always the newest of each kind and the newest that was
    restored and found good, with all binary logs since then.

    test (bool): only tell which would go. It does so unless ``test=False`` is said.

    Returns a dict: bucket, removed (list of the keys that went, or would go). Raises CommandExecutionError if no backup
    was found good lately: then nothing is removed.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.prune_backups
        salt ct1 insync.prune_backups test=False
    """
    test = insync_verb.flag(test=test)
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    if "backup_retention" not in pillar:
        raise CommandExecutionError("this server has no key to remove backups")
    declared, where = pillar["backup_retention"], pillar["backup_retention"]["store"]
    named = {"access": where["access_key"], "secret": where["secret_key"]}
    keys = insync_conf.resolve(named, {}, pillar["secrets"])
    bucket = insync_db_archive.store(where, keys["access"], keys["secret"])
    run = insync_verb.called("backup-retention", "insync.prune_backups", kwargs, __grains__["id"], test)
    with run as (_, done):
        done |= {"bucket": bucket.name, "removed": []}
        for key in insync_db_retention.plan(bucket, declared["keep"], declared["hours"]):
            if not test:
                bucket.delete(key)
            done["removed"].append(key)
        return dict(done)
