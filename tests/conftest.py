"""What several tiers share: the checkout, and a site folder like the lab's."""

import fcntl
import logging
import pathlib
import pickle

import pytest

from tests.lanes import SHARED

pytest.register_assert_rewrite("tests.fleet.load", "tests.fleet.release", "tests.fleet.web")
ROOT = pathlib.Path(__file__).resolve().parents[1]
SITE = "site"


@pytest.fixture(scope="session")
def site(request):
    """A site folder with fake secrets that are really encrypted, and operators with real keys; one for both lanes."""
    # Imported here: the tiers that need no site folder do not wait for Salt.
    from lab.site import write

    folder = request.config.stash[SHARED]
    once(folder / SITE, lambda: write(folder / SITE, folder / "keys"))
    return folder / SITE


def pytest_configure(config):
    """What Salt's daemons log would fill pages below a failed test."""
    config.option.showcapture = "stdout"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """End what the lanes have shared, and let Salt's handlers not complain about pytest's closed streams."""
    logging.raiseExceptions = False
    config = session.config
    if not hasattr(config, "workerinput") and (config.stash[SHARED] / SITE).exists():
        from lab.compile import stop_gpg

        stop_gpg(config.stash[SHARED] / SITE)


@pytest.fixture(scope="session")
def compiled(request, site):
    """Every server's pillar and states: {host: {"pillar": dict, "low": list}}; compiled once for both lanes."""
    from lab.compile import compile_all

    path = request.config.stash[SHARED] / "compiled"
    once(path, lambda: path.write_bytes(pickle.dumps(compile_all(ROOT, site))))
    return pickle.loads(path.read_bytes())  # noqa: S301  by the other lane, or this one


def once(path, make):
    """Let ``make`` make ``path`` (pathlib.Path) unless it is there; who comes meanwhile waits."""
    done = path.with_name(f"{path.name}.done")
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make()
            done.touch()
