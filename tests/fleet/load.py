"""
Strict load from the internet while something is done to the fleet, and what the servers' logs say of it.

    with load(fleet, least=50_000) as running:
        running.mark("restart")
        ...
    assert running.report.failed == []
    assert reconciled(fleet, running.report) == NOTHING_AMISS

What the clients do and what the report has: tests/load/generator.py, whose `report` tells the names.
"""

import collections
import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
import types
import uuid

import insync_inventory

from lab.paths import PREFIX
from tests.fleet.conftest import INVENTORY, ROOT

GENERATOR = ROOT / "tests" / "load" / "generator.py"
PYTHON = ["podman", "exec", "-i", f"{PREFIX}world", "python3"]
SITE = "https://www.insynchq.com"
PATHS = {
    "web": {"path": "/version", "slow_path": "/slow?seconds=2", "post_path": "/receipt"},
    "license": {"path": "/license/LAB-0001", "slow_path": "/license/slow?seconds=2", "post_path": "/license/receipt"},
}
NOTHING_AMISS = {"lost": [], "doubled": [], "failed_but_executed": [], "left_out": []}
# What journald says where it left lines out because there were too many.
LEFT_OUT = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e"


class Report(types.SimpleNamespace):
    """What the generator reports, as attributes; also ``app`` (str), and the POSTs' ids (lists of str)."""

    def window(self, name):
        """Return the window that the mark ``name`` (str) began."""
        (found,) = [window for window in self.windows if window["name"] == name]
        return found

    def __repr__(self):
        counts = f"{self.sent} sent, {self.failed_count} failed, {self.stale} stale, {len(self.switches)} switches"
        return f"<load of {self.app}: {counts}, p99 {self.ms['p99']} ms, p99.9 {self.ms['p99.9']} ms>"


class Running:
    """The load while it lasts; afterwards ``report`` (Report)."""

    report = None

    def __init__(self, process, said):
        self._process, self._said = process, said

    def mark(self, name):
        """Let a new window of the report begin, called ``name`` (str)."""
        self.say(f"mark {'-'.join(name.split())} @{time.time()}")

    def say(self, order):
        """Tell the generator ``order`` (str)."""
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()

    def begun(self, seconds=60):
        """Wait until there were replies."""
        deadline = time.monotonic() + seconds
        while not re.search(r"(?m)^\d+ s: [1-9]", self.said()):
            assert self._process.poll() is None and time.monotonic() < deadline, f"no load: {self.said()}"
            time.sleep(0.1)

    def said(self):
        """Return what the generator has said so far (str)."""
        # Not by seek: the generator writes where the file's position is.
        return os.pread(self._said.fileno(), 1 << 20, 0).decode()

    def ended(self, seconds):
        """Return the generator's report (dict), at the latest after ``seconds``."""
        try:
            report, _ = self._process.communicate(timeout=seconds)
        finally:
            self._process.kill()
        assert self._process.returncode == 0, f"the load ended with {self._process.returncode}: {self.said()[-3000:]}"
        return json.loads(report)


@contextlib.contextmanager
def load(fleet, app="web", *, rate=300, least=0, seconds=900, url=SITE, **options):
    """
    Let clients ask for ``app`` (str) from the internet while the block runs; the block gets a Running.

    rate (float): requests a second, of all clients.
    least (int): at the block's end the load goes on until there were so many requests.
    seconds (float): when it ends in any case.
    options: the generator's, with underscores; numbers of clients for example: ``idle=0``.
    """
    ids = f"/tmp/load-{uuid.uuid4().hex}.json"
    wanted = {**PATHS[app], "rate": rate, "least": least, "seconds": seconds, "ids": ids, **options}
    # By -c: nothing of it stays in the container, and standard input is free for orders.
    command = [*PYTHON, "-c", GENERATOR.read_text(encoding="utf-8"), url]
    command += [word for name, value in wanted.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, encoding="utf-8"
        )
        running = Running(process, said)
        try:
            running.begun()
            yield running
        except BaseException:
            _abandon(running)
            raise
        running.say("stop")
        report = running.ended(seconds + 60)
    kept = json.loads(fleet.ok("world", "cat", ids))
    fleet.ok("world", "rm", ids)
    running.report = Report(app=app, acknowledged=kept["acknowledged"], unacknowledged=kept["failed"], **report)


def _abandon(running):
    """End the load, and hide nothing of what went wrong before."""
    with contextlib.suppress(OSError, AssertionError, ValueError, subprocess.TimeoutExpired):
        running.say("end")
        running.ended(60)


def reconciled(fleet, report):
    """
    Return what does not fit between the POSTs of ``report`` (Report) and the servers' logs; NOTHING_AMISS if all does.

    lost: ids that were acknowledged, and that no log has
    doubled: ids that were executed more than once, each with where
    failed_but_executed: ids whose client was told nothing, or a failure, each with where
    left_out: what journald says of lines that it left out; the rest means nothing then
    """
    executed, left_out = collections.defaultdict(list), []
    for server, slots in _backends(report.app).items():
        for slot in slots:
            for number in _journal(fleet, server, report.began, "--unit", f"{report.app}@{slot}"):
                executed[number].append(f"{server}/{slot}")
        said = fleet.ok(server, *_journalctl(report.began), LEFT_OUT)
        left_out += [f"{server}: {line}" for line in said.splitlines() if f" {report.app}@" in line]
    return {**compared(report.acknowledged, report.unacknowledged, executed), "left_out": left_out}


def compared(acknowledged, unacknowledged, executed):
    """
    Return lost, doubled and failed_but_executed, as `reconciled` does.

    acknowledged, unacknowledged (list of str): ids of POSTs.
    executed (dict): id -> list of where it was executed, once for each time; of other runs too.
    """
    ours = {*acknowledged, *unacknowledged}
    again = {number: where for number, where in executed.items() if where[1:] and number in ours}
    return {
        "lost": [number for number in acknowledged if number not in executed],
        "doubled": [f"{number}: {', '.join(where)}" for number, where in again.items()],
        "failed_but_executed": [f"{number}: {executed[number][0]}" for number in unacknowledged if number in executed],
    }


def _backends(app):
    """{server: slots} of an application of production."""
    servers = insync_inventory.all_pools(INVENTORY)[app]
    return {server: list(insync_inventory.slots(INVENTORY, server)[app]) for server in servers}


def _journal(fleet, server, since, *match):
    """The ids of the receipts in a journal, in its order."""
    fleet.ok(server, "journalctl", "--sync")
    return receipts(fleet.ok(server, *_journalctl(since, "short-unix"), *match))


def receipts(lines):
    """
    The ids (list of str) of the receipts in ``lines`` (str) of a journal, with their times to the microsecond.

    An entry in which journald begins another file it may write into both: that is one, of one moment.
    """
    return [
        found[1]
        for line in dict.fromkeys(lines.splitlines())
        if (found := re.search(r': \{"event": "receipt", "id": "([^"]+)"\}$', line))
    ]


def _journalctl(since, output="cat"):
    return ["journalctl", "--quiet", "--no-pager", f"--output={output}", f"--since=@{int(since)}"]
