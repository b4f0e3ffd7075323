"""The operators' verb that brings the database, or what another service keeps, back from its backups."""

import datetime
import pathlib
import shutil

import insync_conf
import insync_data_backup
import insync_data_copy
import insync_db
import insync_db_archive
import insync_db_backup
import insync_db_restore
import insync_errors
import insync_fresh_pillar
import insync_gtid
import insync_lock
import insync_mariadb
import insync_mariadb_seed
import insync_pipe
import insync_postgresql
import insync_restic
import insync_store_errors
import insync_systemd
import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync"

_DUMPS = pathlib.Path("/var/lib/insync/db/restored")
_USER = "mysql"
_told = insync_errors.told(
    insync_db_archive.ArchiveError,
    insync_db_backup.BackupError,
    insync_db_restore.RestoreError,
    insync_mariadb.DatabaseError,
    insync_gtid.GtidError,
    insync_pipe.PipeError,
    insync_conf.ConfError,
    insync_store_errors.StoreError,
    insync_lock.Held,
    insync_data_backup.DataError,
    insync_data_copy.CopyError,
    insync_postgresql.DatabaseError,
    insync_restic.ResticError,
    insync_systemd.UnitError,
)


def __virtual__():
    return __virtualname__


@_told
def backup_restore(*, kind="", backup="newest", test=True, aside=False, identity="", until="", database="", **kwargs):
    """
    Restore a backup: on a replica the database, up to a moment; on any server a kind of its data.

    kind (str): the kind of data, as ``insync.backups`` lists them; left out, or ``physical``, for the database.
    backup (str): its id, as ``insync.backups`` lists them.
    test (bool): only tell the plan. It does so unless ``test=False`` is said.
    aside (bool): of data, move what is there aside, beside what is restored. Nothing is ever removed.

    Of data: where data is, it refuses without ``aside=True``. The backup is fetched and looked at before, its units are
    stopped only while it is put in place; where that fails everything is as it was before. Of the database:

    identity (str): file with a private key of age that can read the backup; keep it in /run, and remove it afterwards.
    until (str): the last GTID that counts, or the time before which (``"2026-03-02 12:00:00"``, UTC); all if left out.
    database (str): restore this one only, as a dump in a file; the server here goes on untouched.

    Without ``database`` the server's data is replaced, if nothing is there: where data is it refuses, and nothing was
    changed. All that can go wrong has gone wrong before that. The server stays closed for writes; the highstate, or
    ``salt-run insync.failover_db``, says what becomes of it.

    Returns a dict: backup, gtid, until (where the logs led), logs, target, seconds; in test mode of the plan backup,
    gtid, logs, target, bytes. Of data: kind, backup, age_hours, targets, and there (the plan: where data is), or aside
    (from -> to) and seconds. Raises CommandExecutionError with the stage, as ``insync.backup_verify`` does.

    CLI Example:

    .. code-block:: bash

        salt wiki insync.backup_restore kind=wiki
        salt wiki insync.backup_restore kind=wiki aside=True test=False
        salt db-slave02 insync.backup_restore identity=/run/ops.key
        salt db-slave02 insync.backup_restore identity=/run/ops.key test=False
        salt db-slave02 insync.backup_restore identity=/run/ops.key database=insync until=0-172818705-4711 test=False
    """
    test, aside = insync_verb.flag(test=test), insync_verb.flag(aside=aside)
    if kind not in ("", insync_db_archive.PHYSICAL):
        return _data(kind, backup, aside, test, kwargs)
    bucket, key = _bucket(), _key(identity)
    with insync_verb.called(insync_db.AREA, "insync.backup_restore", kwargs, __grains__["id"], test) as run:
        manifest, items, plan = _plan(bucket, backup, until, database)
        if test:
            return plan
        run[1].update(_restored(bucket, manifest, items, key, until, database, run[0]))
        return dict(run[1])


def _data(kind, backup, aside, test, told):
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    repository, there = insync_data_backup.of_server(pillar, __grains__["id"])
    how = insync_data_backup.one_of(there, kind)
    area, verb = insync_data_backup.AREA, "insync.backup_restore"
    with insync_verb.called(area, verb, told, __grains__["id"], test) as (journal, done):
        done |= insync_data_backup.restore(repository, kind, how, backup, journal, aside, test)
        return dict(done)


def _key(identity):
    if not identity:
        raise SaltInvocationError("identity=FILE: with which private key? Of other data: kind=...")
    lines = pathlib.Path(identity).read_text(encoding="ascii", errors="replace").splitlines()
    keys = [line for line in lines if line.startswith("AGE-SECRET-KEY-")]
    if not keys:
        raise CommandExecutionError(f"{identity}: no private key of age is in it")
    return "\n".join(keys) + "\n"


def _bucket():
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    if "mariadb" not in pillar or "backup" not in pillar["mariadb"]:
        raise CommandExecutionError("backups are restored on a replica, and this server is none")
    where = pillar["mariadb"]["backup"]
    named = {"access": where["access_key"], "secret": where["secret_key"]}
    keys = insync_conf.resolve(named, {}, pillar["secrets"])
    return insync_db_archive.store(where, keys["access"], keys["secret"])


def _plan(bucket, backup, until, database):
    """Everything that can be found out without touching anything."""
    there = insync_db_archive.ids(bucket, insync_db_archive.PHYSICAL)
    if backup == "newest" and not there:
        raise insync_db_archive.ArchiveError(f"there is no physical backup in {bucket.name}")
    chosen = there[0] if backup == "newest" else backup
    manifest = insync_db_archive.manifest(bucket, insync_db_archive.PHYSICAL, chosen)
    insync_db_restore.check_version(manifest)
    insync_db_restore.check_until(until, manifest)
    # To be exactly at the backup no log is needed.
    items = [] if until == manifest["gtid"] else insync_db_restore.logs_from(bucket, manifest)
    if database:
        if not any(name.startswith(f"{database}.") for name in manifest["tables"]):
            raise SaltInvocationError(f"database={database}: the backup has none of that name")
        target = str(_DUMPS / f"{database}-{chosen}.sql")
    else:
        target = str(insync_mariadb.DATA)
        if insync_mariadb_seed.marker(insync_mariadb.DATA) or not _replaceable():
            raise CommandExecutionError(f"{target}: there is data; move it away first. Nothing was changed")
    facts = {"backup": chosen, "gtid": manifest["gtid"], "logs": len(items), "target": target}
    return manifest, items, {**facts, "bytes": manifest["bytes"]}


def _replaceable():
    return insync_db.replaceable(insync_mariadb.DATA, insync_mariadb.SOCKET)


def _restored(bucket, manifest, items, key, until, database, journal):
    begun, spool = datetime.datetime.now(datetime.UTC), insync_db_backup.SPOOL
    data = insync_mariadb_seed.incoming(insync_mariadb.DATA)
    with insync_db_backup.spooled(manifest["bytes"]):
        with journal.phase("fetch and unpack", manifest["key"]):
            insync_db_restore.unpack(bucket, manifest, key, data)
        with insync_db_restore.served(data, _USER) as query:
            with journal.phase("compare"):
                insync_db_restore.compare(query, manifest)
            reached = manifest["gtid"]
            if items:
                with journal.phase("replay", f"{len(items)} logs"):
                    where = (key, spool, data / "socket")
                    reached = insync_db_restore.replay(query, bucket, items, manifest, *where, until)
            target = _dump(data / "socket", database, manifest) if database else str(insync_mariadb.DATA)
    if database:
        shutil.rmtree(data)
    else:
        insync_db_restore.tidy(data)
        facts = {"from": manifest["id"], "gtid": reached, "kind": "backup"}
        with journal.phase("put in place"):
            insync_db.put_in_place(data, insync_mariadb.DATA, facts)
    seconds = round((datetime.datetime.now(datetime.UTC) - begun).total_seconds(), 1)
    told = {"backup": manifest["id"], "gtid": manifest["gtid"], "until": reached}
    return {**told, "logs": len(items), "target": target, "seconds": seconds}


def _dump(socket, database, manifest):
    _DUMPS.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _DUMPS / f"{database}-{manifest['id']}.sql"
    options = ["--single-transaction", "--routines", "--events", "--triggers", "--hex-blob"]
    with file.open("wb") as target:
        command = ["mariadb-dump", "--user=root", f"--socket={socket}", *options, database]
        insync_pipe.run([command], target=target)
    return str(file)
