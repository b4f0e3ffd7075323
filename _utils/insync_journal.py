"""What a release did, phase by phase: said while it runs, and kept: who, when, what, for how long."""

import contextlib
import datetime
import json
import pathlib
import sys
import time

import insync_files

HISTORY = "history.jsonl"


class Journal:
    """The record of one run, written anew at each step, so that a run that was killed tells where."""

    def __init__(self, folder, verb, by, hosts, keep=True):
        """
        folder (str or pathlib.Path): where the records of the application are; it has to be there.
        verb (str): what was typed. by (str): by whom. hosts (list of str): the servers that it concerns.
        keep (bool): whether it is kept; what only tells what it would do is not.
        """
        self.folder, self.keep = pathlib.Path(folder), keep
        self._began, self._begun = time.monotonic(), False
        self.record = {"verb": verb, "by": by, "since": _now(), "hosts": hosts, "phases": {}, "phase": "", "end": ""}

    @contextlib.contextmanager
    def phase(self, name, said=""):
        """Say and record that the phase ``name`` (str) goes on; ``said`` (str) is what it does where."""
        self.record["phase"] = name
        self.say(f"{name}: {said}" if said else name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.record["phases"][name] = round(time.monotonic() - began, 2)

    def say(self, line):
        """Print ``line`` (str) with the seconds since the start, to standard error: the result is for programs too."""
        # Nobody reads on, as behind `| head`: no reason to leave a release half way.
        with contextlib.suppress(OSError, ValueError):
            print(f"{time.monotonic() - self._began:6.1f} s  {line}", file=sys.stderr, flush=True)
        self._write()

    def end(self, end, **facts):
        """Record how it ended: ``end`` (str) is ok or what went wrong, ``facts`` what is worth knowing of it."""
        seconds = round(time.monotonic() - self._began, 2)
        self.record |= {"end": end, "seconds": seconds, **facts}
        self._write()
        if self.keep:
            with self._tolerant(), (self.folder / HISTORY).open("a", encoding="utf-8") as file:
                # A full disk may have cut the line before.
                file.write("\n" * (not _whole(self.folder / HISTORY)) + json.dumps(self.record) + "\n")
        return self.record

    def _write(self):
        if self.keep:
            with self._tolerant():
                insync_files.replace(self.folder / "journal.json", json.dumps(self.record, indent=2) + "\n")
            self._begun = True

    @contextlib.contextmanager
    def _tolerant(self):
        """What cannot be recorded from the beginning is not begun; what has begun is brought to its end, and told."""
        try:
            yield
        except OSError as exc:
            if not self._begun:
                raise
            self.record["unrecorded"] = f"{exc.filename}: {exc.strerror}"


def last(folder):
    """Return the record (dict) of the last run in ``folder`` (str or pathlib.Path), None if there was none."""
    file = pathlib.Path(folder, "journal.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def history(folder):
    """Return the records (list of dict) of all runs in ``folder`` (str or pathlib.Path), the oldest first."""
    file, found = pathlib.Path(folder, HISTORY), []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        # One that was cut is none.
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def _whole(file):
    with file.open("rb") as read:
        read.seek(max(0, file.stat().st_size - 1))
        return read.read() in (b"", b"\n")


def _now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
