"""One at a time, and who is refused is told who is at it."""

import contextlib
import datetime
import fcntl
import os
import pathlib
import time


class Held(ValueError):
    """Somebody else holds the lock; the message says who, and since when."""


@contextlib.contextmanager
def held(path, what, by="", wait=0):
    """
    Hold the lock file ``path`` (str or pathlib.Path); the kernel gives it back however the process ends.

    what (str): what the holder is doing, for the one who is refused.
    by (str): who holds it.
    wait (float): for how many seconds to wait for somebody else who does.
    Raises Held if somebody else still does then.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file, time.monotonic() + wait)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        file.truncate(0)
        file.write(f"{what} is running{f', by {by}' if by else ''}, since {since}, process {os.getpid()}\n")
        file.flush()
        yield


def _take(file, deadline):
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.monotonic() >= deadline:
                file.seek(0)
                raise Held(file.read().strip() or "another run is at it") from exc
            time.sleep(0.05)
