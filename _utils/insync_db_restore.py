"""A backup of MariaDB back on a disk: fetched, compared with its manifest, decrypted, prepared, served for a while."""

import concurrent.futures
import contextlib
import datetime
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

import insync_db_archive
import insync_db_contents
import insync_gtid
import insync_mariadb
import insync_pipe

# Who reads a log may have written it a moment before that time.
BEAT_SECONDS = 300
_START_SECONDS = 120
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_PROGRAM = "/usr/sbin/mariadbd"
# What was unpacked just now is read from memory: by themselves they would read every page from the disk.
_UNPACKED = ["--innodb-flush-method=fsync"]
_DECOMPRESS = ["zstd", "--quiet", "--decompress", "--stdout"]
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+")
_SERVER = [_PROGRAM, "--defaults-file={data}/backup-my.cnf", "--datadir={data}", "--socket={socket}", *_UNPACKED]
_SERVER += ["--skip-networking", "--skip-slave-start", "--pid-file={data}/pid", "--innodb-buffer-pool-size=128M"]
# A server that starts removes what it takes for its own former temporary tables.
_SERVER += ["--tmpdir={data}"]
# With a log of its own it tells how far it has come.
_SERVER += ["--log-bin={data}/restored", "--skip-log-slave-updates", "--user={user}"]


class RestoreError(ValueError):
    """The backup cannot be restored, or is not what it should be; ``stage`` (str) tells where that was seen."""

    def __init__(self, stage, message):
        super().__init__(f"{stage}: {message}")
        self.stage = stage


@contextlib.contextmanager
def stage(name, *kinds):
    """Make an error of ``kinds`` (exceptions) in the block a RestoreError of the stage ``name`` (str)."""
    try:
        yield
    except (*kinds, OSError) as exc:
        raise RestoreError(name, str(exc)) from exc


@contextlib.contextmanager
def _fetched(bucket, name, wanted):
    """
    Yield an open file in which the object ``name`` (str) of ``bucket`` (insync_store.Store) comes while it is fetched.

    wanted (str): the SHA-256 that it has to have. If it has another, or does not come whole, that is raised
    (RestoreError, StoreError) and not what became of it in the block.
    """
    reading, writing = os.pipe()
    found, failed = hashlib.sha256(), []

    def feed():
        try:
            with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as target:
                _copy(bucket.read(name), found, target)
        except Exception as exc:  # noqa: BLE001  raised below, in the thread that waits for it
            failed.append(exc)

    thread, error = threading.Thread(target=feed, daemon=True), None
    thread.start()
    with os.fdopen(reading, "rb") as source:
        try:
            yield source
        except RestoreError as exc:
            error = exc
    thread.join()
    if failed:
        raise failed[0]
    if found.hexdigest() != wanted:
        raise RestoreError("checksum", f"{name}: it is not what was put there")
    if error:
        raise error


def _copy(pieces, found, target):
    """Write ``pieces`` to ``target``, as long as somebody reads it; ``found`` is the checksum of all of them."""
    for piece in pieces:
        found.update(piece)
        if target:
            try:
                target.write(piece)
            except BrokenPipeError:
                target = None


def _decrypted(bucket, item, key, stage_name, chain, target=subprocess.DEVNULL):
    """
    Give what is in an object to the programs of ``chain`` (list of lists of str), decrypted while it is fetched.

    item (tuple): its name and SHA-256 (str). key (str): a private key of age, which comes to no disk.
    target (file): for the last one's output. Raises RestoreError of the stage ``stage_name`` (str) or "checksum".
    """
    with _fetched(bucket, *item) as source, os.fdopen(os.memfd_create("key"), "w+b") as identity:
        identity.write(key.encode())
        identity.flush()
        decrypt = [["age", "--decrypt", "--identity", f"/dev/fd/{identity.fileno()}"], _DECOMPRESS]
        with stage(stage_name, insync_pipe.PipeError):
            insync_pipe.run([*decrypt, *chain], source=source, target=target, pass_fds=[identity.fileno()])


def unpack(bucket, manifest, key, data):
    """
    Make ``data`` (pathlib.Path) a prepared copy out of a backup.

    bucket (insync_store.Store). manifest (dict): of the backup. key (str): a private key of age.
    Raises RestoreError, or StoreError.
    """
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    item = manifest["key"], manifest["sha256"]
    _decrypted(bucket, item, key, "decrypt", [["mbstream", "-x", "-C", str(data)]])
    with stage("prepare", insync_pipe.PipeError):
        command = ["mariadb-backup", "--prepare", *_UNPACKED, f"--target-dir={data}"]
        insync_pipe.run([command], expected="completed OK!")


@contextlib.contextmanager
def served(data, user):
    """
    Yield an insync_mariadb.Query as root at a server of the copy in ``data`` (pathlib.Path), which nobody else reaches.

    user (str): as whom it runs. Raises RestoreError if it does not start, and DatabaseError of statements.
    """
    socket, log = data / "socket", data / "error.log"
    for root, folders, files in os.walk(data):
        for name in (".", *folders, *files):
            shutil.chown(pathlib.Path(root, name), user, user)
    command = [word.format(data=data, socket=socket, user=user) for word in _SERVER]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with log.open("wb") as said, subprocess.Popen(command, cwd="/", stderr=said, **quiet) as server:
        try:
            _wait(server, socket, log)
            with insync_mariadb.local(str(socket)) as query:
                yield query
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(60)
            server.kill()


def _wait(server, socket, log):
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(insync_mariadb.Unreachable), insync_mariadb.local(str(socket)):
            return
        time.sleep(0.2)
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if "ERROR" in line] or lines
    raise RestoreError("start", insync_pipe.why(told, server.poll()))


def tidy(data):
    """Remove from ``data`` (pathlib.Path) what a server that served the copy has left beside it."""
    for name in ("socket", "pid", "error.log", "restored.state", "restored.index"):
        (data / name).unlink(missing_ok=True)
    for path in data.glob("restored.[0-9]*"):
        path.unlink()


def check_until(until, manifest):
    """Raise RestoreError if ``until`` (str, a GTID or a time) is none, or is before the backup of ``manifest``."""
    if _TIME.fullmatch(until):
        asked = datetime.datetime.fromisoformat(until).replace(tzinfo=datetime.UTC)
        if asked < insync_db_archive.time_of(manifest["id"]):
            raise RestoreError("until", f"{until} is before the backup {manifest['id']}; name an older one")
        return
    with stage("until", insync_gtid.GtidError):
        before = until and insync_gtid.later(manifest["gtid"], until) != until and until != manifest["gtid"]
    if before:
        raise RestoreError("until", f"{until} is before the backup's {manifest['gtid']}; name an older one")


def check_version(manifest):
    """
    Raise RestoreError (stage ``version``) if the backup of ``manifest`` (dict) is of a newer MariaDB than is here.

    An older one does not read its files, or reads them wrong.
    """
    with stage("version", subprocess.SubprocessError):
        told = subprocess.run([_PROGRAM, "--no-defaults", "--version"], capture_output=True, text=True, check=True)
    wanted, here = (_VERSION.search(text) for text in (str(manifest.get("server_version")), told.stdout))
    if not wanted or not here:
        raise RestoreError("version", "which MariaDB the backup is of, or which is here, is not to be known")
    if [int(part) for part in wanted.groups()] > [int(part) for part in here.groups()]:
        raise RestoreError("version", f"the backup is of MariaDB {wanted[0]}, and here is {here[0]}")


def compare(query, manifest):
    """
    Raise RestoreError (stage ``compare``) unless the server of ``query`` has exactly what ``manifest`` (dict) says.

    Every table is checked too, and that a heartbeat from shortly before the backup is there.
    """
    # Side by side: both read everything, and neither has use for a second processor.
    with stage("check", insync_mariadb.DatabaseError), concurrent.futures.ThreadPoolExecutor(1) as beside:
        checking = beside.submit(_broken, query.variable("socket"))
        found = insync_db_contents.read(query)
        broken = checking.result()
    if broken:
        raise RestoreError("check", broken)
    if lines := insync_db_contents.differences(manifest, found):
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise RestoreError("compare", "; ".join(lines[:3]) + more)
    beat = datetime.datetime.fromisoformat(manifest["heartbeat"]).replace(tzinfo=datetime.UTC)
    age = (insync_db_archive.time_of(manifest["id"]) - beat).total_seconds()
    if age > BEAT_SECONDS:
        raise RestoreError("heartbeat", f"its newest heartbeat was {age:.0f} s old when it was made")


def _broken(socket):
    with insync_mariadb.local(socket) as query:
        for schema, table in insync_db_contents.tables(query):
            name = f"{insync_db_contents.quoted(schema)}.{insync_db_contents.quoted(table)}"
            for *_, kind, text in query(f"CHECK TABLE {name}"):
                if kind in ("error", "Error") or (kind == "status" and text != "OK"):
                    return f"table {schema}.{table}: {text}"
    return ""


def logs_from(bucket, manifest):
    """
    Return the binary logs (list of insync_store_parts.Object) that go on from the backup of ``manifest`` (dict).

    Raises RestoreError (stage ``logs``) if none does, or if one is missing in between.
    """
    listed = insync_db_archive.logs(bucket).get((manifest["server"], manifest["lineage"]), {})
    needed = []
    for number in sorted(listed, reverse=True):
        item = bucket.head(listed[number].key)
        needed.append((number, item))
        # It begins before the backup, or just with it: what comes after is in this one, or in a later one.
        if not insync_gtid.ahead(item.meta["begins"], manifest["gtid"]):
            break
    else:
        raise RestoreError("logs", f"no binary log goes on from {manifest['gtid']}")
    if gaps := insync_db_archive.gaps([number for number, _ in needed]):
        raise RestoreError("logs", f"binary logs are missing: {gaps}")
    return [item for _, item in reversed(needed)]


def replay(query, bucket, items, manifest, key, folder, socket, until=""):
    """
    Apply the binary logs ``items`` (list of Object) to the server of ``query``, from where the backup ends.

    key (str): a private key of age. folder (pathlib.Path): where they are kept meanwhile. socket (pathlib.Path): of the
    server. until (str): the GTID after which, or the time (2026-03-02 12:00:00, UTC) before which to stop; all if it is
    left out. Returns the position (str) that was reached. Raises RestoreError.
    """
    files = [_log(bucket, item, key, folder) for item in items]
    timed = bool(_TIME.fullmatch(until))
    stop = [f"--stop-{'datetime' if timed else 'position'}={until}"] if until else []
    reader = ["mariadb-binlog", f"--start-position={manifest['gtid']}", *stop, *map(str, files)]
    # What it was before is no part of its own log.
    query("SET GLOBAL gtid_binlog_state = %s", manifest["gtid"])
    with stage("replay", insync_pipe.PipeError):
        options = {"env": {**os.environ, "TZ": "UTC"}}
        insync_pipe.run([reader, ["mariadb", "--user=root", f"--socket={socket}", "--binary-mode"]], **options)
    reached = query.variable("gtid_binlog_pos")
    wanted = "" if timed else until or items[-1].meta["begins"]
    if lacking := insync_gtid.ahead(wanted, reached):
        raise RestoreError("replay", f"it ended at {reached}, before {', '.join(lacking)}")
    # From there on it may replicate.
    query("SET GLOBAL gtid_slave_pos = %s", reached)
    return reached


def _log(bucket, item, key, folder):
    file = folder / item.key.rpartition("/")[2].removesuffix(".zst.age")
    with file.open("wb") as target:
        _decrypted(bucket, (item.key, item.sha256), key, "logs", [], target)
    return file
