"""What the queue of mails is at this moment, and what is wrong with it."""

import json
import os
import pathlib
import re

import insync_beanstalkd
import insync_http

AREA = "queue"
DATA = "/var/lib/beanstalkd"
# Nobody watches it.
PROBE = "insync-probe"
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_COUNTS = {
    "ready": "current-jobs-ready",
    "reserved": "current-jobs-reserved",
    "delayed": "current-jobs-delayed",
    "buried": "current-jobs-buried",
    "workers": "current-watching",
}


def seen(queue):
    """
    Return what ``queue`` (insync_beanstalkd.Queue) says (dict).

    version, uptime (seconds), draining (bool), written (bool: what it acknowledges is in its log), tubes (name ->
    ready, reserved, delayed, buried, workers, and oldest_ready and oldest_buried, in seconds).
    Raises insync_beanstalkd.QueueError.
    """
    tubes = {name: _tube(queue, name) for name in queue.tubes() if name != PROBE}
    before = queue.stats()
    draining = before["draining"] == "true"
    written = True
    if not draining:
        # After an error of the disk it goes on without its log, and acknowledges all the same.
        count = "binlog-records-written"
        written = queue.takes(PROBE) and int(queue.stats()[count]) > int(before[count])
    return {
        "version": before["version"],
        "uptime": int(before["uptime"]),
        "draining": draining,
        "written": written,
        "tubes": tubes,
    }


def _tube(queue, name):
    said = queue.tube(name)
    found = {key: int(said[counted]) for key, counted in _COUNTS.items()}
    # Only who has something to wait for is asked how long.
    return found | {f"oldest_{kind}": queue.age(name, kind) if found[kind] else 0 for kind in ("ready", "buried")}


def outbox(port):
    """
    Return what the mailer on this server says of the outbox (dict): waiting, unconfirmed, buried, refused,
    oldest_seconds.

    port (int): where it answers, on loopback. Raises insync_beanstalkd.QueueError.
    """
    status, said = insync_http.get(f"http://127.0.0.1:{port}/outbox")
    try:
        told = json.loads(said) if status else {}
        if status == 200:
            return {key: int(value) for key, value in told.items()}
        reason = told.get("error") or said or "no answer"
    except (ValueError, AttributeError, TypeError):
        reason = f"{status} {said}"
    reason = " ".join(reason.split())[:300]
    raise insync_beanstalkd.QueueError(f"the mailer does not say what is in the outbox: {reason}")


def space(folder=DATA):
    """
    Return how much room the queue's log has (dict): free (bytes, of its file system), binlog (bytes).

    folder (str): where it is. Raises OSError.
    """
    found = os.statvfs(folder)
    files = [file.stat() for file in pathlib.Path(folder).glob("binlog.*")]
    return {"free": found.f_bavail * found.f_frsize, "binlog": sum(file.st_size for file in files)}


def tight(found, free_min, binlog_max):
    """
    Yield what is wrong with the room that the queue's log has (str).

    found (dict): of ``space``. free_min, binlog_max (str): how much has to be free, and how large the log may be, such
    as 512M.
    """
    if found["free"] < size(free_min):
        yield (
            f"{_shown(found['free'])} are free for the queue's log, and not {free_min}: on a full disk no job is taken,"
            " and beanstalkd does not start again"
        )
    if found["binlog"] > size(binlog_max):
        yield f"the queue's log has {_shown(found['binlog'])}, more than {binlog_max}: jobs pile up, or one is stuck"


def size(text):
    """Return the bytes (int) of a size such as 512M. Raises ValueError."""
    match = re.fullmatch(r"([1-9]\d*)([KMGT])", str(text), re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is not a size, in K, M, G or T")
    return int(match[1]) * _UNITS[match[2]]


def problems(found, room, mails, declared):
    """
    Return what is wrong (list of str), [] if nothing is.

    found (dict): of ``seen``. room (dict): of ``space``. mails (dict): of ``outbox``; None if no mailer is here.
    declared (dict): the pillar's beanstalkd.
    """
    late = declared["late_seconds"]
    return [
        *(["it takes no jobs: it is draining"] if found["draining"] else []),
        *([] if found["written"] else ["it does not write jobs to its log; see that the disk is well, and restart it"]),
        *tight(room, declared["free_min"], declared["binlog_max"]),
        *(line for name, tube in found["tubes"].items() for line in _of_tube(name, tube, late)),
        *_of_outbox(mails, late),
    ]


def _of_tube(name, tube, late):
    waiting = tube["ready"] + tube["delayed"]
    if waiting and not tube["workers"]:
        yield f"{name}: {waiting} jobs wait, and nobody is there who takes them"
    elif tube["oldest_ready"] > late:
        yield f"{name}: a job waits for {tube['oldest_ready']} s"
    if tube["buried"]:
        yield f"{name}: {tube['buried']} jobs are buried, the first for {tube['oldest_buried']} s"


def _of_outbox(mails, late):
    if mails is None:
        yield "what is in the outbox is not known here: this server has no mailer"
        return
    if mails["refused"]:
        yield f"the outbox has {mails['refused']} mails that the queue does not take"
    if mails["oldest_seconds"] > late:
        yield f"the outbox has a mail that was not sent for {mails['oldest_seconds']} s"


def _shown(amount):
    return f"{amount / _UNITS['M']:.0f}M"
