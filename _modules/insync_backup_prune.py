"""The operators' verb that removes old backups, on the server that has the key for it."""

import insync_conf
import insync_data_retention
import insync_db_archive
import insync_db_retention
import insync_errors
import insync_fresh_pillar
import insync_lock
import insync_restic
import insync_store_errors
import insync_verb
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync"

_told = insync_errors.told(
    insync_db_archive.ArchiveError,
    insync_data_retention.RetentionError,
    insync_db_retention.RetentionError,
    insync_restic.ResticError,
    insync_conf.ConfError,
    insync_store_errors.StoreError,
    insync_lock.Held,
)


def __virtual__():
    return __virtualname__


@_told
def prune_backups(*, test=True, **kwargs):
    """
    Remove the backups that nobody needs any more: of the database with its binary logs, and of every server's data.

    The last of each of so many days, weeks and months stays, and always the newest of each kind and the newest that was
    restored and found good, with all binary logs since then.

    Of a server's data the same, and never the newest of a kind. Where a server has made none lately, or its backups are
    not whole, nothing of its is removed; all others have their turn.

    test (bool): only tell which would go. It does so unless ``test=False`` is said.

    Returns a dict: bucket, removed (list of the keys that went, or would go), data (server -> list of dict: id, kind,
    time). Raises CommandExecutionError if of the database no backup was found good lately: then none of it is removed;
    and naming each server whose data is not backed up as it should be.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.prune_backups
        salt ct1 insync.prune_backups test=False
    """
    test = insync_verb.flag(test=test)
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    if "backup_retention" not in pillar:
        raise CommandExecutionError("this server has no key to remove backups")
    run = insync_verb.called("backup-retention", "insync.prune_backups", kwargs, __grains__["id"], test)
    with run as (journal, done):
        done["data"], failed = insync_data_retention.prune(pillar, journal, test)
        try:
            _database(pillar, test, done)
        except (insync_db_retention.RetentionError, insync_store_errors.StoreError) as exc:
            failed.insert(0, f"the database: {exc}")
        if failed:
            raise insync_data_retention.RetentionError("; ".join(failed))
        return dict(done)


def _database(pillar, test, done):
    """Note in ``done`` (dict) what goes as it goes: the record names it too if the store then fails."""
    declared, where = pillar["backup_retention"], pillar["backup_retention"]["store"]
    named = {"access": where["access_key"], "secret": where["secret_key"]}
    keys = insync_conf.resolve(named, {}, pillar["secrets"])
    bucket = insync_db_archive.store(where, keys["access"], keys["secret"])
    done |= {"bucket": bucket.name, "removed": []}
    for key in insync_db_retention.plan(bucket, declared["keep"], declared["hours"]):
        if not test:
            bucket.delete(key)
        done["removed"].append(key)
