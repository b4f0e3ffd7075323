"""HAProxy's runtime socket: what it says of its servers and its map, and how these are changed without a reload."""

import csv
import os
import pathlib
import re
import shutil
import socket

SOCKET = "/run/haproxy/admin.sock"
SECONDS = 5


class HaproxyError(ValueError):
    """HAProxy does not answer, or refuses; the message is one line."""


def say(order, path=SOCKET):
    """
    Return what HAProxy answers (str) to ``order`` (str) at its socket.

    Raises HaproxyError if it does not answer. An order that it refuses is answered too; see ``do``.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            connection.sendall(f"{order}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
    except OSError as exc:
        raise HaproxyError(f"HAProxy does not answer at {path} ({exc.strerror or exc}); does it run?") from exc


def do(order, path=SOCKET):
    """Let HAProxy do ``order`` (str), which it answers with nothing; HaproxyError with what it says instead."""
    said = say(order, path).strip()
    if said:
        raise HaproxyError(f"HAProxy refuses '{order}': {' '.join(said.split())}")


def statistics(path=SOCKET):
    """Return ``{backend: {server: {field: str}}}`` of the servers, from ``show stat``."""
    lines = say("show stat", path).lstrip("# ").splitlines()
    found = {}
    for row in csv.DictReader(line for line in lines if line):
        if row["svname"] not in ("FRONTEND", "BACKEND"):
            found.setdefault(row["pxname"], {})[row["svname"]] = row
    return found


def entries(file, path=SOCKET):
    """Return the map ``file`` (str) as HAProxy uses it: ``{key: value}``."""
    said = say(f"show map {file}", path)
    found = dict(re.findall(r"^0x[0-9a-f]+ (\S+) (\S+)$", said, re.MULTILINE))
    if said.strip() and not found:
        raise HaproxyError(f"HAProxy says of the map {file}: {' '.join(said.split())}")
    return found


def set_entry(file, key, value, path=SOCKET):
    """Let ``key`` be ``value`` (both str) in the map ``file`` that HAProxy uses; HaproxyError unless it then is."""
    verb = "set" if key in entries(file, path) else "add"
    do(f"{verb} map {file} {key} {value}", path)
    if entries(file, path).get(key) != value:
        raise HaproxyError(f"HAProxy took {key} {value} for {file}, and has {entries(file, path).get(key)}")


def read(file):
    """Return what the map ``file`` (str) says on the disk, which HAProxy reads at its next start: ``{key: value}``."""
    lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if len(line.split()) == 2 and not line.startswith("#"))


def write(file, key, value):
    """Let ``key`` be ``value`` (both str) in the map ``file`` (str) on the disk; all else stays as it is."""
    path, new = pathlib.Path(file), pathlib.Path(f"{file}.new")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.split()[:1] != [key]]
    with new.open("w", encoding="utf-8") as text:
        text.write("\n".join([*lines, f"{key} {value}"]) + "\n")
        text.flush()
        os.fsync(text.fileno())
    shutil.copystat(path, new)
    os.replace(new, path)
