"""Which backups of the servers' data go, and whether there are as new ones as there have to be."""

import insync_conf
import insync_data_backup
import insync_restic


class RetentionError(ValueError):
    """Not all is as it should be; the message says of which server, and what. Nothing of it was removed."""


class _Never(Exception):
    """There is no backup."""


def prune(pillar, journal, test=True):
    """
    Remove the old backups of every server's data; pillar (dict): of the server that has the key for it.

    journal (insync_journal.Journal): told of every server. test (bool): only tell.
    Returns (dict: server -> list of dict: id, kind, time, or what there is to say instead; list of str: what is wrong).
    """
    declared, where = pillar["backup_retention"], pillar["backup_store"]
    store = declared["store"]
    named = {"access": store["access_key"], "secret": store["secret_key"]}
    keys = insync_conf.resolve(named, {}, pillar["secrets"])
    removed, failed = {}, []
    for server, password in pillar["secrets"]["backup_passwords"].items():
        repository = insync_data_backup.repository(where, server, password, keys["access"], keys["secret"])
        try:
            with journal.phase(server, "data"):
                removed[server] = one(repository, declared["keep"], declared["hours"], test)
        except _Never:
            # That it is late is said by the server's own highstate; here is nothing to remove.
            removed[server] = "there is no backup of its data yet"
        except (RetentionError, insync_restic.ResticError) as exc:
            failed.append(f"{server}: {exc}")
    return removed, failed


def one(repository, keep, hours, test=True):
    """
    Remove the old ones of ``repository`` (insync_restic.Repository); return what goes (list of dict: id, kind, time).

    keep (dict): daily, weekly, monthly. hours (float): how old the newest of all may be. test (bool): only tell.
    Raises RetentionError if there is none that is new enough, and ResticError if the repository is not whole.
    """
    there = repository.snapshots()
    if not there:
        raise _Never
    age = insync_data_backup.age_hours(there[0]["time"])
    if age > hours:
        raise RetentionError(f"the newest backup of its data is {age:.1f} h old: nothing is removed")
    if not test:
        repository.unlock()
        repository.check()
    return repository.forget(keep, test)
