"""
A release verb that was called on servers: ``salt 'web*' insync.restart_web``.

No server can move a pool. Each one that runs the job tells the master so, by an event that only says which job it is;
the master looks up what an operator asked for in that job, does it once, and leaves the answer on the servers.
"""

import dataclasses
import json
import os
import pathlib
import re
import time

import insync_files
import insync_verb

TAG = "insync/release/request"
ANSWERS = pathlib.Path("/run/insync-release")
# A job older than this (seconds) is not taken any more: a server could say it again.
FRESH = 60
# A version that lacks its other ``=`` would be lost without a word.
VERSION = ", and a version is written {key}=={value}"
OPTIONS = {"restart": ("test",), "update_in": ("test", "watch", "keep")}


@dataclasses.dataclass(frozen=True)
class Request:
    """What an operator asked for."""

    verb: str
    pool: str
    packages: tuple
    options: dict
    servers: tuple
    by: str


def find(job, server, now=None):
    """
    Return the Request that ``job`` (dict, as the runner jobs.list_job returns it) is, None if it is none.

    server (str): who told of it: has to be one that the job was sent to.
    now (float): the time, seconds since the epoch.
    """
    match = re.fullmatch(r"insync\.(restart|update_in)_(\w+)", str(job.get("Function", "")))
    servers = job.get("Minions") or []
    if not match or server not in servers or not _fresh(str(job.get("jid", "")), now or time.time()):
        return None
    words, options = [], {}
    for argument in job.get("Arguments") or []:
        if isinstance(argument, dict) and argument.get("__kwarg__"):
            options |= {key: value for key, value in argument.items() if not key.startswith("__")}
        else:
            words.append(str(argument))
    return Request(*match.groups(), tuple(words), options, tuple(servers), str(job.get("User", "")))


def unknown(verb, options):
    """Return what is wrong with ``options`` (dict) of ``verb`` (restart, update_in), as insync_verb.unknown does."""
    return insync_verb.unknown(options, OPTIONS[verb], VERSION)


def first(folder, jid):
    """Return whether nobody has taken the job ``jid`` (str) yet; it is taken then. Kept in ``folder`` (str)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > 10 * FRESH:
            old.unlink(missing_ok=True)
    try:
        os.close(os.open(folder / re.sub(r"\D", "", str(jid)), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def put(app, jid, said):
    """Leave the answer ``said`` (dict) to the job ``jid`` (str) of ``app`` (str) on this server."""
    ANSWERS.mkdir(mode=0o700, parents=True, exist_ok=True)
    insync_files.replace(_file(app, jid), json.dumps(said))


def wait(app, jid, seconds):
    """Return the answer (dict) to the job ``jid`` (str) of ``app`` (str); None if none comes in ``seconds``."""
    file, deadline = _file(app, jid), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.exists():
            said = json.loads(file.read_text(encoding="utf-8"))
            file.unlink()
            return said
        time.sleep(0.05)
    return None


def _file(app, jid):
    return ANSWERS / f"{app}-{re.sub(r'[^0-9]', '', str(jid))}.json"


def _fresh(jid, now):
    if not re.fullmatch(r"\d{20}", jid):
        return False
    began = time.mktime(time.strptime(jid[:14], "%Y%m%d%H%M%S"))
    return abs(now - began) < FRESH
