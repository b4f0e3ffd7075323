"""The operators' verb on the server that restores backups of the database, to see that they can be."""

import datetime
import json
import pathlib
import shutil

import insync_conf
import insync_db_archive
import insync_db_record
import insync_db_restore
import insync_errors
import insync_fresh_pillar
import insync_gtid
import insync_lock
import insync_mariadb
import insync_store_errors
import insync_verb
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync"

# What is said of a backup; one of which nothing is said was verified by nobody yet.
GOOD, DIFFERS, FAILED = "good", "restored, but differs", "failed"
_FOLDER = pathlib.Path("/var/lib/insync-verify")
_USER = "insync-verify"
_EVENT = "insync/backup/{}"
_told = insync_errors.told(
    insync_db_archive.ArchiveError,
    insync_db_restore.RestoreError,
    insync_mariadb.DatabaseError,
    insync_gtid.GtidError,
    insync_conf.ConfError,
    insync_store_errors.StoreError,
    insync_lock.Held,
)


def __virtual__():
    return __virtualname__


@_told
def backup_verify(*, backup="newest", **kwargs):
    """
    Restore a physical backup here, compare all that is in it with its manifest, and replay the binary logs after it.

    backup (str): its id, as ``insync.backups`` lists them. The newest must not be too old, however good it is.

    What was found is recorded beside the backup, and told as the event insync/backup/verified or insync/backup/failed.

    Returns a dict: id, outcome (good), gtid, until (where the logs lead), tables, rows, logs, seconds. Raises
    CommandExecutionError with the stage at which it was seen that the backup is no good: age, manifest, version,
    fetch, checksum, decrypt, prepare, start, check, compare, heartbeat, logs or replay.

    CLI Example:

    .. code-block:: bash

        salt redis insync.backup_verify
        salt redis insync.backup_verify backup=2026-11-27T013000Z
    """
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    if "db_verifier" not in pillar:
        raise CommandExecutionError("this server verifies no backups")
    known = insync_conf.resolve(_named(pillar["db_verifier"]), {}, pillar["secrets"])
    bucket = insync_db_archive.store(pillar["db_verifier"]["store"], known["access"], known["secret"])
    with insync_verb.called("db", "insync.backup_verify", kwargs, __grains__["id"]) as (journal, done):
        chosen = _chosen(bucket, backup, pillar["db_verifier"]["hours"]["verified"])
        try:
            done |= _verify(bucket, chosen, known["key"], journal)
        except Exception as exc:
            _note(bucket, chosen, _outcome(exc), str(exc))
            raise
        _note(bucket, chosen, GOOD, "", **done)
        insync_db_record.note("verified", {"id": chosen, **done})
        return {"id": chosen, "outcome": GOOD, **done}


def _named(declared):
    where = declared["store"]
    return {"access": where["access_key"], "secret": where["secret_key"], "key": declared["identity"]}


def _chosen(bucket, backup, hours):
    if backup != "newest":
        return backup
    there = insync_db_archive.ids(bucket, insync_db_archive.PHYSICAL)
    if not there:
        _tell("failed", id="", outcome=FAILED, reason="there is no backup")
        raise insync_db_archive.ArchiveError(f"age: there is no physical backup in {bucket.name}")
    age = insync_db_archive.age_hours(there[0])
    if age > hours:
        reason = f"age: the newest backup, {there[0]}, is {age:.1f} h old, and {hours:g} h are allowed"
        _tell("failed", id=there[0], outcome=FAILED, reason=reason)
        raise insync_db_archive.ArchiveError(reason)
    return there[0]


def _verify(bucket, backup, key, journal):
    begun = datetime.datetime.now(datetime.UTC)
    with insync_db_restore.stage("manifest", insync_db_archive.ArchiveError, insync_store_errors.StoreError):
        manifest = insync_db_archive.manifest(bucket, insync_db_archive.PHYSICAL, backup)
    insync_db_restore.check_version(manifest)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    # The server that serves the copy has to pass through it.
    _FOLDER.chmod(0o711)
    try:
        data = _FOLDER / "data"
        with journal.phase("fetch and unpack", manifest["key"]):
            with insync_db_restore.stage("fetch", insync_store_errors.StoreError):
                insync_db_restore.unpack(bucket, manifest, key, data)
        with insync_db_restore.served(data, _USER) as query:
            with journal.phase("compare"):
                insync_db_restore.compare(query, manifest)
            with journal.phase("replay"), insync_db_restore.stage("logs", insync_store_errors.StoreError):
                items = insync_db_restore.logs_from(bucket, manifest)
                until = insync_db_restore.replay(query, bucket, items, manifest, key, _FOLDER, data / "socket")
    finally:
        shutil.rmtree(_FOLDER, ignore_errors=True)
    return {
        "gtid": manifest["gtid"],
        "until": until,
        "tables": len(manifest["tables"]),
        "rows": sum(table["rows"] for table in manifest["tables"].values()),
        "logs": len(items),
        "seconds": round((datetime.datetime.now(datetime.UTC) - begun).total_seconds(), 1),
    }


def _outcome(exc):
    return DIFFERS if getattr(exc, "stage", "") in ("compare", "heartbeat") else FAILED


def _note(bucket, backup, outcome, reason, **facts):
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    said = {"id": backup, "outcome": outcome, "reason": reason, "by": __grains__["id"], "at": now, **facts}
    _tell("verified" if outcome == GOOD else "failed", **said)
    # What was seen is told, even if it cannot be kept.
    try:
        text = json.dumps(said, indent=1).encode()
        bucket.put(f"{insync_db_archive.VERIFIED}/{backup}.json", text, type="application/json")
    except insync_store_errors.StoreError:
        if outcome == GOOD:
            raise


def _tell(event, **facts):
    __salt__["event.send"](_EVENT.format(event), facts)
