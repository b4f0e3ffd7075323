"""The booted fleet, as fixtures: every command runs in the real containers."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import insync_inventory
import pytest

from lab import podman
from tests.fleet.drills import Drills
from tests.lanes import SHARED

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = insync_inventory.load(ROOT / "pillar" / "inventory")
SERVERS = sorted(INVENTORY["hosts"])
# A number that follows from what the checkout is, for what is tested in turn.
TURN = int(subprocess.run([ROOT / "bootstrap" / "revision"], capture_output=True, text=True, check=True).stdout, 16)
# Below the limit that pyproject.toml sets for every test, so that what it waited for is told.
BOOT_SECONDS = 1700
UP = [sys.executable, "-m", "lab", "up"]
BOOT = pytest.StashKey[subprocess.Popen]()


class Fleet:
    """Runs commands in the fleet's containers."""

    def run(self, server, *command, stdin=None, timeout=300):
        """Run ``command`` as root on ``server``; return the CompletedProcess, output as text."""
        given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        argv = podman.inside(server, *command)
        return subprocess.run(argv, **given, capture_output=True, text=True, timeout=timeout, check=False)

    def ok(self, server, *command, **options):
        """Run ``command`` on ``server`` and return its output; a failure fails the test with what it said."""
        done = self.run(server, *command, **options)
        assert done.returncode == 0, f"{server}: {' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def salt(self, target, function, *arguments, timeout=900, patience=30):
        """
        Call ``function`` on the minions that ``target`` (a glob or a list) names; return {minion: result}.

        After ``patience`` seconds those that did not return yet are asked whether they are at it.
        """
        matcher = [target] if isinstance(target, str) else ["-L", ",".join(target)]
        options = [f"--timeout={patience}", "--static", "--out=json", "--log-level=critical"]
        command = ["salt", *matcher, *options, function, *arguments]
        return json.loads(self.run("ct1", *command, timeout=timeout).stdout or "{}")

    def answers(self, server, seconds=90):
        """Wait until the minion on ``server`` answers."""
        # A job that it was not there for yet would be waited for in full, however small the patience.
        ping = ["timeout", "8", "salt", server, "test.ping", "--static", "--out=json", "--log-level=critical"]
        self.eventually(lambda: json.loads(self.run("ct1", *ping).stdout or "{}") == {server: True}, seconds)

    def highstate(self, target, *arguments):
        """Apply the highstate; return {minion: {state id: result}}, and fail unless every minion gave states."""
        # While all are at it at once, two processors keep some from even saying so.
        results = self.salt(target, "state.highstate", *arguments, patience=180)
        for minion, states in results.items():
            assert isinstance(states, dict), f"{minion}: {states}"
        return {minion: list(states.values()) for minion, states in results.items()}

    def reboot(self, server):
        """Boot ``server`` anew, as `reboot` does; it has not come back when this returns."""
        argv = ["podman", "restart", "--time", "10", f"insync-{server}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{server}: {done.stderr}"

    def start(self, *servers):
        """Bring the fleet up as `make fleet` does; return the CompletedProcess."""
        hosts = ["--hosts", " ".join(servers)] if servers else []
        return subprocess.run([*UP, *hosts], cwd=ROOT, capture_output=True, text=True, timeout=2700, check=False)

    def eventually(self, check, seconds=90, why=""):
        """Return the first true answer of ``check``; fail after ``seconds`` with ``why``, or what it returns."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = check()
            if answer:
                return answer
            time.sleep(0.3)
        pytest.fail(why() if callable(why) else why or f"{check} was not true within {seconds} s")


def changed(states):
    """Return the ids of the states that report changes."""
    return sorted(state["__id__"] for state in states if state["changes"])


def planned(states):
    """Return the ids of the states that test mode would change."""
    return sorted(state["__id__"] for state in states if state["result"] is None)


def failed(states):
    """Return the ids of the states that failed."""
    return sorted(state.get("__id__", state["comment"]) for state in states if state["result"] is False)


def pytest_addoption(parser):
    parser.addoption("--full-size", action="store_true", help="drills at full size; their figures go to docs/drills.md")


def pytest_collection_modifyitems(config, items):
    """Leave to `make drills` what is marked as its own: a variant of what every run sees, or too long for each."""
    if not config.getoption("full_size"):
        left = [item for item in items if item.get_closest_marker("full_size")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


# How the boot ended stands in a file, for the lane that did not begin it too.
BEGIN = 'report=$1; shift; "$@" > "$report" 2>&1; echo $? > "$report.part"; mv "$report.part" "$report.end"'


def pytest_collection_finish(session):
    """Let the fleet come up while the tiers before it are tested; most of its time it waits for disks and timers."""
    config = session.config
    first = getattr(config, "workerinput", {}).get("workerid", "gw0") == "gw0"
    if first and any("fleet" in item.fixturenames for item in session.items) and not config.option.collectonly:
        begin = ["sh", "-c", BEGIN, "sh", config.stash[SHARED] / "boot", *UP]
        config.stash[BOOT] = subprocess.Popen(begin, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)


def pytest_sessionfinish(session):
    """What nobody waited for any more is not left behind."""
    process = session.config.stash.get(BOOT, None)
    if process and process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="session")
def drills(request):
    """How large the drills are, and where their figures go."""
    drills = Drills(request.config.getoption("full_size"))
    yield drills
    if drills.full:
        drills.write()


@pytest.fixture(scope="session")
def fleet(request):
    """The whole fleet, converged from this checkout."""
    fleet, report = Fleet(), request.config.stash[SHARED] / "boot"
    end = report.with_suffix(".end")
    with contextlib.suppress(pytest.fail.Exception):
        fleet.eventually(end.exists, BOOT_SECONDS)
    fleet.report = report.read_text()
    assert end.exists() and end.read_text() == "0\n", fleet.report[-9000:]
    return fleet
