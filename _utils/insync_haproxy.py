"""HAProxy's runtime socket: what it says of its servers and its map, and how these are changed without a reload."""

import csv
import pathlib
import re
import socket
import time

import insync_files

SOCKET = "/run/haproxy/admin.sock"
MASTER = "/run/haproxy-master.sock"
SECONDS = 5
# For how long who finds nobody there asks again, in seconds.
PATIENCE = 5


class HaproxyError(ValueError):
    """HAProxy does not answer, or refuses; the message is one line."""


def say(order, path=SOCKET):
    """
    Return what HAProxy answers (str) to ``order`` (str) at its socket.

    Raises HaproxyError if it does not answer. An order that it refuses is answered too; see ``do``.
    """
    try:
        with _connected(path) as connection:
            connection.sendall(f"{order}\n".encode())
            # The master would wait for another order.
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
    except OSError as exc:
        raise HaproxyError(f"HAProxy does not answer at {path} ({exc.strerror or exc}); does it run?") from exc


def _connected(path):
    """A connection to the socket at ``path``; while HAProxy is restarted there is none, or nobody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        try:
            connection.connect(str(path))
        except OSError as exc:
            connection.close()
            if not isinstance(exc, (ConnectionRefusedError, FileNotFoundError)) or time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
        else:
            return connection


def do(order, path=SOCKET):
    """Let HAProxy do ``order`` (str), which it answers with nothing; HaproxyError with what it says instead."""
    said = say(order, path).strip()
    if said:
        raise HaproxyError(f"HAProxy refuses '{order}': {' '.join(said.split())}")


def statistics(path=SOCKET):
    """Return ``{backend: {server: {field: str}}}`` of the servers, from ``show stat``."""
    return _rows(say("show stat", path))


def entries(file, path=SOCKET):
    """Return the map ``file`` (str) as HAProxy uses it: ``{key: value}``."""
    return _entries(file, say(f"show map {file}", path))


def formers(file, path=MASTER):
    """
    Return what the processes know that a reload has left: for each its map ``file`` (str) and its statistics.

    They answer the clients that they have by the map and the servers that they knew then, until these go, a minute at
    most. They cannot be told anything any more: the map could be set, but a server that was down stays so.
    """
    found = []
    for process in re.findall(r"^(\d+)", _master("show proc", path).partition("# old workers")[2], re.MULTILINE):
        rows, entries = (_master(f"@!{process} {order}", path) for order in ("show stat", f"show map {file}"))
        # One that has ended in between says something else, or nothing.
        if rows.startswith("# pxname") and entries.startswith(("0x", "\n")):
            found.append((_entries(file, entries), _rows(rows)))
    return found


def set_entry(file, key, value, path=SOCKET):
    """Let ``key`` be ``value`` (both str) in the map ``file`` that HAProxy uses; HaproxyError unless it then is."""
    verb = "set" if key in entries(file, path) else "add"
    do(f"{verb} map {file} {key} {value}", path)
    if entries(file, path).get(key) != value:
        raise HaproxyError(f"HAProxy took {key} {value} for {file}, and has {entries(file, path).get(key)}")


def _master(order, path):
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return say(order, path)
        except HaproxyError:
            # A reload starts the master anew: it hangs up on who has just asked.
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def _rows(said):
    if not said.startswith("# "):
        raise HaproxyError(f"HAProxy tells no statistics: {' '.join(said.split()) or 'nothing'}")
    found = {}
    for row in csv.DictReader(line for line in said.removeprefix("# ").splitlines() if line):
        if row["svname"] not in ("FRONTEND", "BACKEND"):
            found.setdefault(row["pxname"], {})[row["svname"]] = row
    return found


def _entries(file, said):
    # Of a key that is there twice, HAProxy takes the first.
    found = dict(reversed(re.findall(r"^0x[0-9a-f]+ (\S+) (\S+)$", said, re.MULTILINE)))
    if said.strip() and not found:
        raise HaproxyError(f"HAProxy says of the map {file}: {' '.join(said.split())}")
    return found


def read(file):
    """Return what the map ``file`` (str) says on the disk, which HAProxy reads at its next start: ``{key: value}``."""
    lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in reversed(lines) if len(line.split()) == 2 and not line.startswith("#"))


def write(file, key, value):
    """Let ``key`` be ``value`` (both str) in the map ``file`` (str) on the disk; all else stays as it is."""
    lines = [line for line in pathlib.Path(file).read_text(encoding="utf-8").splitlines() if line.split()[:1] != [key]]
    insync_files.replace(file, "\n".join([*lines, f"{key} {value}"]) + "\n")
