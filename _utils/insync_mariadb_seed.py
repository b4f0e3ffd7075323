"""A whole copy of another server's MariaDB, streamed by TLS, and made to be the data of this one."""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess

from insync_mariadb import DatabaseError

# While it is in the data, the server's unit refuses to start; it is the last thing that goes.
SEEDING = ".insync-seeding"
# Written when a copy is whole: where it is from, and up to which transaction.
MARKER = ".insync-seed.json"
OWNER = "mysql"
# Of a transaction's place, in the copy: this name in MariaDB 10.11, the other one from 11 on.
POSITIONS = ("xtrabackup_binlog_info", "mariadb_backup_binlog_info")


def marker(data):
    """Return what the copy in ``data`` (pathlib.Path) is (dict): from, gtid, at; None if there is no whole copy."""
    try:
        return json.loads((data / MARKER).read_text(encoding="utf-8")) if not (data / SEEDING).exists() else None
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise DatabaseError(f"{data / MARKER}: cannot be read: {exc}") from exc


def half(data):
    """Return whether in ``data`` (pathlib.Path) is a copy that was begun and not finished (bool)."""
    return (data / SEEDING).exists()


def empty(data):
    """Return whether ``data`` (pathlib.Path) holds no data at all (bool)."""
    return not data.exists() or not any((data / name).exists() for name in ("ibdata1", "mysql", SEEDING, MARKER))


def incoming(data):
    """Return the folder (pathlib.Path) beside ``data`` where a copy grows."""
    return data.with_name(f"{data.name}.incoming")


def fetch(folder, donor, password, ca):
    """
    Let ``folder`` (pathlib.Path) be a whole copy, ready to be started with; return its position (str, a GTID list).

    donor ((host, port)). password (str): of the replication account. ca (str): file of who vouches for the donor.
    Raises DatabaseError; what has come by then stays, and the next call begins anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    (folder / SEEDING).touch()
    try:
        with _connected(donor, password, ca) as pieces:
            _unpack(folder, pieces)
    except (OSError, EOFError) as exc:
        raise DatabaseError(f"{donor[0]} port {donor[1]}: {_reason(exc)}; nothing here was changed") from exc
    run("mariadb-backup", "--prepare", f"--target-dir={folder}")
    return position(folder)


def position(folder):
    """Return the position (str, a GTID list) of the copy in ``folder`` (pathlib.Path). Raises DatabaseError."""
    for name in POSITIONS:
        with contextlib.suppress(FileNotFoundError):
            # File, offset and GTIDs, which may be several lines.
            words = (folder / name).read_text(encoding="ascii").replace("\n", "").split("\t")
            return words[2] if len(words) > 2 else ""
    raise DatabaseError(f"{folder}: no position is in the copy; does its server write a binary log?")


def take_over(folder, data, facts):
    """
    Put the copy in ``folder`` in the place of what is in ``data`` (both pathlib.Path), whose server does not run.

    facts (dict): what the marker says. Whenever this ends early, the server's unit refuses to start, and ``half`` is
    true. Raises OSError.
    """
    data.mkdir(mode=0o755, parents=True, exist_ok=True)
    (data / SEEDING).touch()
    _sync(data)
    for old in data.iterdir():
        if old.name != SEEDING:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for new in folder.iterdir():
        if new.name != SEEDING:
            os.rename(new, data / new.name)
    shutil.rmtree(folder)
    for root, folders, files in os.walk(data):
        for name in (".", *folders, *files):
            shutil.chown(pathlib.Path(root, name), OWNER, OWNER)
    # The marker vouches for what is on the disk.
    os.sync()
    mark(data, facts)
    (data / SEEDING).unlink()
    _sync(data)


def mark(data, facts):
    """Write the marker with ``facts`` (dict) into ``data`` (pathlib.Path): what is there is known from now on."""
    new = data / f"{MARKER}.new"
    said = {**facts, "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    with new.open("w", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(data / MARKER)
    _sync(data)


def run(*command, **options):
    """Run ``command`` (str); raise DatabaseError with the line in which it says why, if it fails."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False, **options)
    except OSError as exc:
        raise DatabaseError(f"{command[0]}: {exc.strerror}") from exc
    if done.returncode:
        raise DatabaseError(f"{command[0]}: {why(done.stderr)}")


def why(said):
    """Return the line (str) of ``said`` (bytes), what a program has told, that is about an error."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "no reason is told")[:300]


@contextlib.contextmanager
def _connected(donor, password, ca):
    """Yield an iterator of the pieces of the copy; it ends when the donor says that all is well."""
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection(donor, timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname=donor[0]) as peer, peer.makefile("rwb") as file:
            file.write(json.dumps({"password": password}).encode() + b"\n")
            file.flush()
            yield _pieces(file)


def _pieces(file):
    while size := struct.unpack(">I", _exactly(file, 4))[0]:
        yield _exactly(file, size)
    said = json.loads(file.readline(4096) or "{}")
    if not said.get("ok"):
        raise DatabaseError(f"the other server says: {said.get('error', 'nothing')}")


def _exactly(file, size):
    found = file.read(size)
    if len(found) < size:
        raise EOFError("the connection ended before the copy was whole")
    return found


def _unpack(folder, pieces):
    """Each program tells what went wrong at its place; the first that failed is the reason."""
    unpacker = subprocess.Popen(
        ["zstd", "--quiet", "--decompress", "--stdout"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer = subprocess.Popen(
        ["mbstream", "-x", "-C", str(folder)],
        stdin=unpacker.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    unpacker.stdout.close()
    try:
        with contextlib.suppress(BrokenPipeError):
            for piece in pieces:
                unpacker.stdin.write(piece)
        with contextlib.suppress(BrokenPipeError):
            unpacker.stdin.close()
        said = writer.stderr.read(), unpacker.stderr.read()
        codes = writer.wait(), unpacker.wait()
    finally:
        for process in (unpacker, writer):
            process.kill()
            process.wait()
    for name, code, text in zip(("mbstream", "zstd"), codes, said, strict=True):
        if code:
            raise DatabaseError(f"{name}: {why(text)}")


def _sync(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(exc):
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
