"""Another release of Bugsink: what an earlier one was sent, the present one still has."""

import json

import pytest

from tests.fleet import test_6_pypi
from tests.fleet import test_6_sentry as sentry
from tests.fleet.conftest import ROOT, changed, failed, planned

# One that the lock's own rule allows.
EARLIER = "2.6.0"
LOCK = "salt/bugsink/files/requirements.txt"
DATA = "/var/lib/bugsink"
INDEX = f"{test_6_pypi.STABLE}/+simple/"
RESOLVE = """
import json, sys
sys.path.insert(0, "/var/cache/salt/minion/extmods/utils")
import insync_venv
pins, version, index, ca = json.load(sys.stdin)
print(insync_venv.resolve(pins, "bugsink", {"bugsink": version}, index=index, ca=ca), end="")
"""
STOP = "systemctl stop bugsink bugsink-snappea bugsink-retention.timer"


def lock(fleet, text):
    """Let the lock on ct1 be ``text``."""
    fleet.ok("ct1", "sh", "-c", f"cat > /srv/insync/current/{LOCK}", stdin=text)


def release(fleet):
    """The release that serves."""
    code = "import importlib.metadata; print(importlib.metadata.version('bugsink'))"
    return fleet.ok("sentry", "/opt/bugsink/bin/python", "-c", code).strip()


def backups(fleet):
    """What the states have kept of the databases before releases (list of str)."""
    return fleet.ok("sentry", "sh", "-c", f"ls {DATA}/backups 2>/dev/null || true").split()


@pytest.mark.alone
@pytest.mark.full_size
def test_an_upgrade_keeps_what_the_release_before_was_sent(fleet):
    present, text = release(fleet), (ROOT / LOCK).read_text()
    given = json.dumps([text, EARLIER, INDEX, sentry.CA])
    earlier = fleet.ok("sentry", "/opt/salt/bin/python", "-W", "ignore", "-c", RESOLVE, stdin=given)
    fleet.ok("sentry", "sh", "-c", f"{STOP} && mv {DATA} {DATA}.aside")
    try:
        lock(fleet, earlier)
        (states,) = fleet.highstate("sentry").values()
        assert failed(states) == []
        assert release(fleet) == EARLIER != present
        assert sentry.send(fleet) == 200
        fleet.eventually(lambda: sentry.count(fleet, "Probe") == 1, 30)
        before = backups(fleet)
        lock(fleet, text)
        (states,) = fleet.highstate("sentry", "test=True").values()
        assert planned(states) == ["bugsink-release"]
        (states,) = fleet.highstate("sentry").values()
        assert (failed(states), changed(states)) == ([], ["bugsink-release"])
        assert release(fleet) == present
        assert sentry.count(fleet, "Probe") == 1
        assert sentry.send(fleet) == 200
        fleet.eventually(lambda: sentry.count(fleet, "Probe") == 2, 30)
        assert len(backups(fleet)) == len(before) + 1
    finally:
        lock(fleet, text)
        fleet.ok("sentry", "sh", "-c", f"{STOP} && rm -rf {DATA} && mv {DATA}.aside {DATA}")
        (states,) = fleet.highstate("sentry").values()
    assert failed(states) == []
