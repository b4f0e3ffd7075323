"""What this server knows of its backups without asking the bucket: when each kind went well last, what is verified."""

import datetime
import json
import pathlib
import time

import insync_db_archive
import insync_files

# The entry that says since when there could be others.
BEGUN = "begun"
FILE = pathlib.Path("/var/lib/insync/db/backups.json")


def read(file=FILE):
    """Return what is recorded (dict): kind -> {id, at, ...}; ``file`` is a pathlib.Path."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def note(kind, facts, file=FILE):
    """Record ``facts`` (dict) of the last good run of ``kind`` (str) in ``file`` (pathlib.Path)."""
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    insync_files.replace(file, json.dumps({**read(file), kind: {**facts, "at": now}}, indent=1) + "\n")


def stale(limits, now=None, up=None, file=FILE):
    """
    Return what is too old (list of str), [] if nothing is.

    limits (dict): kind -> hours (float) that the last good one may be old; before there is one, the record's begin.
    now (datetime.datetime): the present if left out. up (float): for how many hours this server has been up: what could
    not be made before gets an hour. file (pathlib.Path).
    """
    found, now = read(file), now or datetime.datetime.now(datetime.UTC)
    up = time.clock_gettime(time.CLOCK_BOOTTIME) / 3600 if up is None else up
    lines = []
    for kind, hours in limits.items():
        last = found.get(kind)
        begun = _time(last or found.get(BEGUN) or {"at": now.isoformat()})
        age = (now - begun) / datetime.timedelta(hours=1)
        if age > hours and up > min(hours, 1):
            what = f"{age:.1f} h ago" if last else f"never, in {age:.1f} h"
            lines.append(f"{kind}: the last good one was {what}, and {hours:g} h are allowed")
    return lines


def _time(last):
    if "id" in last:
        return insync_db_archive.time_of(last["id"])
    return datetime.datetime.fromisoformat(last["at"])
