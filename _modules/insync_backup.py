"""The operators' verbs about backups: of the database, and of what other services keep."""

import datetime

import insync_conf
import insync_data_backup
import insync_data_copy
import insync_db
import insync_db_archive
import insync_db_backup
import insync_db_record
import insync_db_status
import insync_errors
import insync_fresh_pillar
import insync_lock
import insync_mariadb
import insync_mariadb_seed
import insync_pipe
import insync_postgresql
import insync_restic
import insync_store_errors
import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync"

_told = insync_errors.told(
    insync_mariadb.DatabaseError,
    insync_db_archive.ArchiveError,
    insync_db_backup.BackupError,
    insync_pipe.PipeError,
    insync_conf.ConfError,
    insync_store_errors.StoreError,
    insync_lock.Held,
    insync_data_backup.DataError,
    insync_data_copy.CopyError,
    insync_postgresql.DatabaseError,
    insync_restic.ResticError,
)
_KINDS = (*insync_db_archive.KINDS, insync_db_archive.LOGS)
# For a binary log that comes while a longer backup is made.
_PATIENCE = 60


def __virtual__():
    return __virtualname__


@_told
def backup(*, kind="", test=False, **kwargs):
    """
    Back up what this server keeps, encrypted, into its bucket.

    kind (str): on a replica physical (which it is if left out), a copy of the files; logical, dumps by automysqlbackup;
        binlogs, the binary logs that are closed and not there yet, after the current one was closed; before them a
        physical one where the newest was made of another server or of other data: logs have to go on from it. On every
        server one kind of its data, by its name in pillar/role/, or ``data`` (which it is elsewhere): all of them.
    test (bool): only look whether a backup could be made.

    Returns a dict: kind, bucket, and id, gtid, bytes, tables, rows, seconds; of binary logs logs (those that were
    put), until (the position up to which all is there) and physical (the id of the one that was made before them, None
    if none was wanted); of data, kind by kind, snapshot, bytes, added, seconds.
    Raises CommandExecutionError saying why there is none: this server is no replica, or a stale one; the disk is full;
    the bucket refuses it; there is no consistent copy. What was there before is untouched.

    CLI Example:

    .. code-block:: bash

        salt wiki insync.backup
        salt dev insync.backup kind=hg_server
        salt db-slave02 insync.backup
        salt db-slave02 insync.backup kind=logical
        salt db-slave02 insync.backup kind=binlogs
    """
    test = insync_verb.flag(test=test)
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    kind = kind or (insync_db_archive.PHYSICAL if _replica(pillar) else "data")
    if not _replica(pillar) or kind not in _KINDS:
        return _data(pillar, kind, kwargs, test)
    bucket, keys = _bucket(pillar), insync_db_backup.recipients(pillar["mariadb"]["backup"]["recipients"])
    # Of what is done all day long there is no history.
    often = kind == insync_db_archive.LOGS
    wait = _PATIENCE if often else 0
    begun = _beginning(bucket) if often and not test else None
    run = insync_verb.called(insync_db.AREA, "insync.backup", kwargs, __grains__["id"], test or often, wait)
    with run as (journal, done), insync_mariadb.local(seconds=30) as query:
        insync_db_backup.healthy(query, insync_db_status.declared(pillar))
        if test:
            return {"kind": kind, "bucket": bucket.name, "there": len(bucket.list(f"{kind}/"))}
        make = _logs if often else _whole
        done |= make(kind, query, bucket, keys, journal) | ({"physical": begun} if often else {})
        return dict(done)


def _beginning(bucket):
    """The id of the backup that binary logs can go on from, if it had to be made: after a switch, or on new data."""
    if insync_db_archive.leads_on(bucket, __grains__["id"], _lineage()):
        return None
    return backup(kind=insync_db_archive.PHYSICAL)["id"]


def _data(pillar, kind, told, test):
    repository, there = insync_data_backup.of_server(pillar, __grains__["id"])
    wanted = insync_data_backup.chosen(there, kind, _KINDS if _replica(pillar) else ())
    area = insync_data_backup.AREA
    with insync_verb.called(area, "insync.backup", told, __grains__["id"], test) as (journal, done):
        if test:
            return {"bucket": repository.address, "there": insync_data_backup.counted(repository, wanted)}
        done |= {"bucket": repository.address, **insync_data_backup.backup(repository, wanted, journal)}
        return dict(done)


def _whole(kind, query, bucket, keys, journal):
    backup, spool, before = insync_db_archive.new_id(), insync_db_backup.SPOOL, insync_db_record.read().get(kind, {})
    begun = datetime.datetime.now(datetime.UTC)
    with insync_db_backup.spooled(max(before.get("bytes", 0), insync_db_backup.smallest(query))):
        with journal.phase("copy", kind):
            if kind == insync_db_archive.PHYSICAL:
                file, facts = insync_db_backup.physical(query, spool, keys)
            else:
                file, facts = insync_db_backup.logical(query, spool, keys, before.get("dumps"))
        facts |= {"server": __grains__["id"], "lineage": _lineage()}
        if kind == insync_db_archive.PHYSICAL:
            # Those who restore it go on from it: the log in which it was made is there before it is.
            with journal.phase("logs", bucket.name):
                _put_logs(query, bucket, keys)
        with journal.phase("upload", bucket.name):
            found = insync_db_archive.put(bucket, kind, backup, file, facts)
    told = {key: found[key] for key in ("id", "gtid", "bytes")}
    insync_db_record.note(kind, {**told, "dumps": facts.get("dumps", {})})
    return {
        "kind": kind,
        "bucket": bucket.name,
        **told,
        "tables": len(found["tables"]),
        "rows": sum(table["rows"] for table in found["tables"].values()),
        "seconds": round((datetime.datetime.now(datetime.UTC) - begun).total_seconds(), 1),
    }


def _logs(kind, query, bucket, keys, journal):
    with journal.phase("logs", bucket.name), insync_db_backup.spooled(0):
        missing, numbers = _put_logs(query, bucket, keys)
    if gaps := insync_db_archive.gaps(numbers):
        reason = f"binary logs are missing in {bucket.name}: {gaps}"
        raise insync_db_archive.ArchiveError(f"{reason}; nobody gets beyond them but by a new backup")
    until = insync_db_backup.log_begins(query, query("SHOW MASTER STATUS")[0][0])
    insync_db_record.note(kind, {"until": until})
    return {"kind": kind, "bucket": bucket.name, "logs": missing, "until": until}


def _put_logs(query, bucket, keys):
    """Put the closed binary logs that are not there yet; return their names, and the numbers of all that there are."""
    server, lineage = __grains__["id"], _lineage()
    there = insync_db_archive.logs(bucket).get((server, lineage), {})
    numbers = {int(name.rpartition(".")[2]): name for name in insync_db_backup.closed_logs(query)}
    missing = [name for number, name in numbers.items() if number not in there]
    for name in missing:
        file = insync_db_backup.pack_log(insync_mariadb.DATA / name, insync_db_backup.SPOOL, keys)
        meta = {"begins": insync_db_backup.log_begins(query, name)}
        bucket.put_new(insync_db_archive.log_key(server, lineage, name), file, meta=meta)
        file.unlink()
    return missing, {*there, *numbers}


def _lineage():
    """Stands for the data that this server works on: with other data its binary logs begin anew."""
    seed = insync_mariadb_seed.marker(insync_mariadb.DATA)
    if not seed:
        raise CommandExecutionError("this server's data is of unknown origin; run its highstate first")
    return seed["at"].replace(":", "").replace("+0000", "Z")


@_told
def backups(*, limit=10):
    """
    List the backups of this server that are in its bucket, the newest first, and what their verification said.

    limit (int): of each kind at most so many.

    Returns a dict, on a replica: bucket, physical and logical (each a list of dict: id, age_hours, gtid, bytes, server,
    tables, verified), binlogs (list of dict: server, lineage, logs, missing); a backup without a manifest does not
    exist. Of other data: bucket, data (dict: kind -> list of dict: id, age_hours); data is empty, and there
    is no bucket, where the roles keep something with another engine only.
    Raises CommandExecutionError if the bucket cannot be read.

    CLI Example:

    .. code-block:: bash

        salt wiki insync.backups
        salt db-slave02 insync.backups
        salt db-slave02 insync.backups limit=1
    """
    if not str(limit).isdigit() or int(limit) < 1:
        raise SaltInvocationError(f"limit={limit}: is not a number above 0")
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    if not _replica(pillar):
        if pillar["backup_kinds"] and not insync_data_backup.of_pillar(pillar):
            # With another engine it would have: whoever brings the server back has nothing to bring back.
            return {"data": {}}
        repository, there = insync_data_backup.of_server(pillar, __grains__["id"])
        return {"bucket": repository.address, "data": insync_data_backup.listed(repository, there, int(limit))}
    bucket = _bucket(pillar)
    logs = [
        {"server": server, "lineage": lineage, "logs": len(found), "missing": insync_db_archive.gaps(found)}
        for (server, lineage), found in sorted(insync_db_archive.logs(bucket).items())
    ]
    kinds = {kind: _listed(bucket, kind, int(limit)) for kind in insync_db_archive.KINDS}
    return {"bucket": bucket.name, **kinds, "binlogs": logs}


def _listed(bucket, kind, limit):
    return [_summary(bucket, kind, one) for one in insync_db_archive.ids(bucket, kind)[:limit]]


def _summary(bucket, kind, backup):
    manifest = insync_db_archive.manifest(bucket, kind, backup)
    said = insync_db_archive.verified(bucket, backup)
    return {
        "id": backup,
        "age_hours": round(insync_db_archive.age_hours(backup), 1),
        **{key: manifest[key] for key in ("gtid", "bytes", "server")},
        "tables": len(manifest["tables"]),
        "verified": said["outcome"] if said else "not yet",
    }


def _replica(pillar):
    return "mariadb" in pillar and "backup" in pillar["mariadb"]


def _bucket(pillar):
    where = pillar["mariadb"]["backup"]
    named = {"access": where["access_key"], "secret": where["secret_key"]}
    keys = insync_conf.resolve(named, {}, pillar["secrets"])
    return insync_db_archive.store(where, keys["access"], keys["secret"])
