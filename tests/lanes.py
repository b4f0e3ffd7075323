"""
Two lanes of tests side by side: `pytest -n 2`. Without -n the same tests run one after the other.

Each lane has its tests in the order in which they are collected. Both use one fleet: a test that disturbs what the
other lane may be looking at, or looks at what that may disturb, is marked ``alone`` and waits until the other lane
has ended the test that it is at.
"""

import fcntl
import pathlib
import tempfile

import pytest

# What the second lane tests: files, or folders with a slash at the end. The first has the others: it comes to the fleet
# when that is up, and to tests that have it alone, while the second is still at what needs no fleet.
SECOND = (
    "tests/unit/",
    "tests/functional/",
    "tests/integration/",
    "tests/fleet/test_5_gateway.py",
    "tests/fleet/test_5_redirects.py",
    "tests/fleet/test_6_ci.py",
    "tests/fleet/test_6_forum.py",
    "tests/fleet/test_6_hg.py",
    "tests/fleet/test_6_pypi.py",
    "tests/fleet/test_6_radar_mrkr.py",
    "tests/fleet/test_6_wiki.py",
    "tests/fleet/test_7_repositories.py",
    "tests/fleet/test_7_stores_drills.py",
    "tests/fleet/test_7_survey.py",
    # It uses what the tests of hg, pypi and mrkr have prepared.
    "tests/fleet/test_8_moved_roles.py",
    "tests/fleet/test_8_repositories_drills.py",
    "tests/fleet/test_8_retired_drills.py",
)
SHARED = pytest.StashKey[pathlib.Path]()
FLOOR = pytest.StashKey["Floor"]()


def pytest_configure(config):
    """Make the folder that the lanes share, or take the one that there is."""
    shared = getattr(config, "workerinput", {}).get("shared")
    if not shared:
        folder = tempfile.TemporaryDirectory(prefix="insync-tests-")
        config.add_cleanup(folder.cleanup)
        shared = folder.name
    config.stash[SHARED] = pathlib.Path(shared)
    config.stash[FLOOR] = Floor(config.stash[SHARED])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tell a lane where the folder is."""
    node.workerinput["shared"] = str(node.config.stash[SHARED])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    # Imported here: who runs one file needs none of it.
    from xdist.scheduler import LoadScopeScheduling

    class Lanes(LoadScopeScheduling):
        """Gives each lane all of its tests at once."""

        def _split_scope(self, nodeid):
            return lane(nodeid)

    return Lanes(config, log)


def lane(nodeid):
    """The lane (str) of a test; nodeid (str) begins with the path of its file."""
    return "second" if nodeid.startswith(SECOND) else "first"


class Floor:
    """The fleet as it is shared: both lanes are on it, or one alone; who waits to be alone is not overtaken."""

    def __init__(self, folder):
        self._door, self._room = ((folder / name).open("w") for name in ("door", "room"))
        self._alone = None

    def enter(self, alone):
        """Wait until there is room. alone (bool): for this lane only."""
        if self._alone is not None:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._alone = alone

    def leave(self):
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._alone = None


def alone(item):
    """Whether ``item`` (pytest.Item or None) has the fleet for its lane alone."""
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if "fleet" not in item.fixturenames:
        return (yield)
    floor = item.config.stash[FLOOR]
    floor.enter(alone(item))
    try:
        return (yield)
    finally:
        # What a module has prepared for its tests, alone, nobody else sees in between.
        if not (alone(item) and alone(nextitem) and item.path == nextitem.path):
            floor.leave()
