"""The release verbs as an operator on ct1 types them, and what has to be as before when one was refused."""

import contextlib
import json
import subprocess
import time

from lab import podman
from tests.fleet import web
from tests.fleet.load import NOTHING_AMISS, load, reconciled

LB = "web-lb02"
POOL = ["web-lb02", "web02"]
RATE = 60
JOURNAL = "/var/lib/insync/web/journal.json"


def salt_run(fleet, *arguments, timeout=300):
    """Run ``salt-run`` on ct1 as an operator does; return (exit code, standard output)."""
    done = fleet.run("ct1", "salt-run", "--out=json", *arguments, timeout=timeout)
    return done.returncode, done.stdout


def ran(fleet, *arguments):
    """The same, for what has to succeed; return what it returns."""
    code, said = salt_run(fleet, *arguments)
    assert code == 0, said
    return json.loads(said[said.index("{") :])


def refused(fleet, *arguments):
    """Run a verb that has to end with one clear text and exit code 1; return the text."""
    code, said = salt_run(fleet, *arguments)
    assert (code, "Traceback" in said) == (1, False), said
    return said


def standing(fleet):
    """What has to be as before after a run that was refused: what serves, runs, is recorded, and is there."""
    script = (
        # What was told to stop ends by itself.
        "timeout 60 sh -c 'while systemctl is-active web@blue web@green | grep -q deactivating; do sleep 0.2; done';"
        # Who recorded it when is new where it was moved and put back.
        "grep -v -e since -e by /var/lib/insync/web/state.json; readlink /insync/venv/web;"
        "systemctl show -P MainPID,ActiveState web@blue web@green; systemctl is-enabled web@blue web@green; true"
    )
    stands = {server: fleet.ok(server, "sh", "-c", script) for server in POOL}
    return {**stands, "map": fleet.ok(LB, "cat", "/etc/haproxy/active.map")}


def built(fleet):
    """Return what releases are there: {server: names of their virtualenvs}."""
    return {server: fleet.ok(server, "ls", "/insync/venv").split() for server in POOL}


def active(fleet):
    """Return (slot, release) of web as its customers see it; the record of each server says the same."""
    place = lambda said: tuple(json.loads(said)[key] for key in ("slot", "release"))  # noqa: E731
    serving = place(web.get(fleet, "/version")[1])
    records = {server: place(fleet.ok(server, "cat", "/var/lib/insync/web/state.json")) for server in POOL}
    assert records == dict.fromkeys(POOL, serving)
    return serving


def other(slot):
    """Return the slot beside ``slot``."""
    return {"blue": "green", "green": "blue"}[slot]


@contextlib.contextmanager
def strict(fleet, app="web", rate=RATE, **options):
    """Strict load around the block: nothing fails, nothing is stale, every POST ran once."""
    with load(fleet, app, rate=rate, **options) as running:
        time.sleep(1)
        yield running
        time.sleep(1)
    report = running.report
    assert (report.failed, report.stale) == ([], 0), report
    assert reconciled(fleet, report) == NOTHING_AMISS


class Begun:
    """A verb that runs on ct1 beside the test; ``with`` waits for its end."""

    def __init__(self, fleet, *arguments):
        self.fleet, self.arguments = fleet, arguments
        self.code, self.said = None, ""

    def __enter__(self):
        # What an earlier run has left there is not this one's.
        self.fleet.run("ct1", "rm", "-f", JOURNAL)
        script = 'echo $$ > /run/begun.pid; exec salt-run --out=json "$@"'
        argv = podman.inside("ct1", "sh", "-c", script, "sh", *self.arguments)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        self.process = subprocess.Popen(argv, **pipes, text=True)
        return self

    def reached(self, phase, then=":", seconds=60):
        """Wait until it is in ``phase`` (str), and run the shell command ``then`` on ct1 at once."""
        wait = f"""until grep -q '"phase": "{phase}"' {JOURNAL} 2>/dev/null; do sleep 0.02; done; {then}"""
        self.fleet.ok("ct1", "timeout", str(seconds), "sh", "-c", wait)

    def killed_in(self, phase):
        """End it as kill -9 does, as soon as it is in ``phase`` (str)."""
        self.reached(phase, then="kill -9 $(cat /run/begun.pid)")

    @contextlib.contextmanager
    def held_in(self, phase):
        """Let it stand still in ``phase`` (str) while the block runs, however long that takes on a busy machine."""
        self.reached(phase, then="kill -STOP $(cat /run/begun.pid)")
        try:
            yield
        finally:
            self.fleet.ok("ct1", "sh", "-c", "kill -CONT $(cat /run/begun.pid)")

    def __exit__(self, *_):
        try:
            self.said, _ = self.process.communicate(timeout=180)
        finally:
            self.process.kill()
        self.code = self.process.returncode


def record(fleet):
    """Return the record of the last run (dict)."""
    return json.loads(fleet.ok("ct1", "cat", JOURNAL))


@contextlib.contextmanager
def full(fleet, server, folder):
    """Let the file system of ``folder`` on ``server`` be full, to the last byte, while the block runs."""
    script = """
        set -eu
        mkdir -p /mnt/full
        mount -t tmpfs -o "size=$(( $(du -sk "$1" | cut -f1) + 64 ))k" full /mnt/full
        cp -a "$1/." /mnt/full
        chown --reference="$1" /mnt/full
        chmod --reference="$1" /mnt/full
        dd if=/dev/zero of=/mnt/full/.filler bs=4k 2>/dev/null || true
        mount --bind /mnt/full "$1"
    """
    fleet.ok(server, "sh", "-c", script, "sh", folder)
    try:
        yield
    finally:
        fleet.ok(server, "sh", "-c", 'umount "$1"; umount /mnt/full; rmdir /mnt/full', "sh", folder)
