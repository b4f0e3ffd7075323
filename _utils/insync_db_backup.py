"""Makes backups of the MariaDB on a replica: a copy of its files, dumps, binary logs; each is one encrypted file."""

import contextlib
import gzip
import os
import pathlib
import re
import shutil
import subprocess

import insync_db_contents
import insync_db_status
import insync_mariadb
import insync_pipe

# Encrypted files wait here until they are uploaded.
SPOOL = pathlib.Path("/var/lib/insync/db/spool")
# Where automysqlbackup is told to write: its configuration takes the folder from the environment.
DUMPER, DUMPS = "automysqlbackup", "INSYNC_BACKUPDIR"
# Beside what was there last time, a dump that is this much smaller is no good.
SHRUNK = 0.7
_PACK = ["zstd", "--quiet", "-3", "--stdout"]
_COPY = ["mariadb-backup", "--backup", "--stream=mbstream", "--slave-info", "--user=root"]
_COMPLETE = "completed OK!"
_DUMP_COMPLETE = b"-- Dump completed"
# It is a shell script, which would take other names for several words.
_NAME = re.compile(r"[A-Za-z0-9_$-]+")
_RECIPIENT = re.compile(r"age1[0-9a-z]{58}")


class BackupError(ValueError):
    """There is no good backup; the message is one line that says why."""


def recipients(declared):
    """
    Return the options (list of str) with which age encrypts to all of ``declared`` (dict: who -> public key).

    Raises BackupError if there are none: nothing leaves this server in the clear.
    """
    if not declared:
        raise BackupError("nobody is declared (mariadb:backup:recipients) to whom a backup could be encrypted")
    for who, key in declared.items():
        if not _RECIPIENT.fullmatch(str(key)):
            raise BackupError(f"mariadb:backup:recipients: {who}: that is no public key of age")
    return [word for key in declared.values() for word in ("--recipient", key)]


def healthy(query, declared):
    """
    Raise BackupError unless the server of ``query`` (insync_mariadb.Query) is a replica that has what its primary has.

    declared (dict): as for insync_db_status.problems.
    """
    if declared["role"] != "replica":
        raise BackupError("backups are made of a replica, and this server is none")
    found = insync_db_status.seen(query)
    if wrong := insync_db_status.problems(found, declared):
        raise BackupError(f"it would be a backup of stale data: {'; '.join(wrong)}")


@contextlib.contextmanager
def spooled(needed, folder=SPOOL):
    """
    Have an empty ``folder`` (pathlib.Path) while the block runs.

    needed (int): raise BackupError unless so many bytes are free there, twice.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        free = shutil.disk_usage(folder).free
        if free < 2 * needed:
            raise BackupError(f"{folder}: {free // 2**20} MiB are free, and {2 * needed // 2**20} are wanted")
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def smallest(query):
    """Return what a backup takes if nothing is known of one before (int, bytes): half of the data, for it is packed."""
    wanted = "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables"
    return int(query.value(wanted)) // 2


@contextlib.contextmanager
def standing_still(query):
    """
    Apply nothing that comes from the primary while the block runs; what comes is confirmed and kept meanwhile.

    However this process ends, even by SIGKILL, applying goes on: a child of it sees to that.
    Yields the position (str, a GTID list).
    """
    script = "read line; exec mariadb --user=root --execute 'START SLAVE SQL_THREAD' >/dev/null 2>&1"
    guard = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
    try:
        query("STOP SLAVE SQL_THREAD")
        yield query.variable("gtid_slave_pos")
    finally:
        guard.stdin.close()
        guard.wait(60)


def physical(query, folder, keys):
    """
    Copy the server's files; return (file, facts) of what is to be uploaded.

    query (insync_mariadb.Query). folder (pathlib.Path): where the file is put. keys (list of str): of ``recipients``.
    """
    file = folder / "backup.mbstream.zst.age"
    with standing_still(query) as position:
        facts = _facts(query, position)
        command = [*_COPY, f"--target-dir={folder}"]
        with file.open("wb") as target:
            insync_pipe.run([command, _PACK, ["age", *keys]], target=target, expected=_COMPLETE)
    return file, facts


def logical(query, folder, keys, before=None):
    """
    Let automysqlbackup dump every database, and check what it has done; otherwise as ``physical``.

    It ends well when the server is down, the disk is full, or a dump was cut off. before (dict): the size of each
    database's dump last time. The facts have dumps: the sizes of today's.
    """
    wanted = ["mysql", *insync_mariadb.databases(query)]
    if odd := [name for name in wanted if not _NAME.fullmatch(name)]:
        raise BackupError(f"{DUMPER}: it cannot dump a database with such a name: {', '.join(odd)}")
    dumps, file = folder / "dumps", folder / "dumps.tar.age"
    dumps.mkdir(mode=0o700)
    with standing_still(query) as position:
        facts = _facts(query, position)
        _dump(dumps)
    facts["dumps"] = {name: _checked(dumps, name, (before or {}).get(name)) for name in wanted}
    with file.open("wb") as target:
        insync_pipe.run([["tar", "-C", str(dumps), "-cf", "-", "."], ["age", *keys]], target=target)
    shutil.rmtree(dumps)
    return file, facts


def _dump(folder):
    options = {"env": {**os.environ, DUMPS: str(folder)}, "stdin": subprocess.DEVNULL, "cwd": "/"}
    try:
        done = subprocess.run([DUMPER], capture_output=True, text=True, errors="replace", check=False, **options)
    except OSError as exc:
        raise BackupError(f"{DUMPER}: {exc.strerror}") from exc
    said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if re.search("rror|Killed|No space", line)]
    errors = [path.read_text(errors="replace").strip() for path in folder.glob("ERRORS_*")]
    if done.returncode or any(errors) or said:
        # Its own heading tells only that there are some.
        told = [line for line in [*errors, *said] if line and not re.search("AutoMySQLBackup|rror log", line)]
        reason = told[0] if told else f"exit code {done.returncode}"
        raise BackupError(f"{DUMPER}: {' '.join(reason.split())[:300]}")


def _checked(folder, name, before):
    """The size of the database's dump, if there is one, it is complete, and not much smaller than the one before."""
    found = [path for path in folder.rglob("*.sql.gz") if path.parent.name == name and path.parts[-3] != "monthly"]
    if len(found) != 1:
        raise BackupError(f"{DUMPER}: {len(found)} dumps of {name}, and one was wanted")
    size, end = 0, b""
    try:
        with gzip.open(found[0]) as file:
            while piece := file.read(2**20):
                size, end = size + len(piece), (end + piece)[-4096:]
    except (OSError, EOFError) as exc:
        raise BackupError(f"{DUMPER}: the dump of {name}: {exc}") from exc
    if _DUMP_COMPLETE not in end.splitlines()[-1][:40] if end else True:
        raise BackupError(f"{DUMPER}: the dump of {name} is cut off")
    if before and size < SHRUNK * before:
        raise BackupError(f"{DUMPER}: the dump of {name} has {size} bytes, and had {before} last time")
    return size


def _facts(query, position):
    """What the manifest says of what is in it, read while nothing changes."""
    if not position:
        raise BackupError("no transaction has come from the primary yet: there would be no position to go on from")
    return {
        "gtid": position,
        "server_version": query.variable("version"),
        "heartbeat": str(query.value("SELECT at FROM insync_fleet.heartbeat")),
        **insync_db_contents.read(query),
    }


def closed_logs(query):
    """Close the binary log that is being written; return the names (list of str) of all that are closed."""
    query("FLUSH LOCAL BINARY LOGS")
    return [row[0] for row in query("SHOW BINARY LOGS")][:-1]


def log_begins(query, name):
    """Return the position (str, a GTID list) from which the binary log ``name`` (str) goes on."""
    for row in query("SHOW BINLOG EVENTS IN %s LIMIT 5", name):
        if row[2] == "Gtid_list":
            return row[5].strip("[]").replace(" ", "")
    raise BackupError(f"{name}: no position is in it")


def pack_log(source, folder, keys):
    """Return the encrypted file (pathlib.Path) of the binary log ``source`` (pathlib.Path), in ``folder``."""
    file = folder / f"{source.name}.zst.age"
    with source.open("rb") as log, file.open("wb") as target:
        insync_pipe.run([_PACK, ["age", *keys]], source=log, target=target)
    return file
