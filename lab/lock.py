"""One lab command at a time on a machine."""

import contextlib
import fcntl
import json
import os
import time

from lab.errors import LabError
from lab.paths import LOCK


@contextlib.contextmanager
def held(command, path=LOCK):
    """
    Hold the lab's lock.

    command (list of str): what the next one is told that it has to wait for.
    Raises LabError, naming the holder, if somebody else has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise LabError(f"another lab command is running: {_holder(file)}; wait until it has ended") from exc
        file.truncate(0)
        json.dump({"pid": os.getpid(), "since": time.strftime("%H:%M:%S"), "command": " ".join(command)}, file)
        file.flush()
        yield


def _holder(file):
    file.seek(0)
    try:
        return "process {pid}, since {since}, '{command}'".format(**json.load(file))
    except (ValueError, KeyError):
        return "it has just started"
