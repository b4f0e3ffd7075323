"""What several tiers share: the checkout, and a site folder like the lab's."""

import logging
import pathlib

import pytest

pytest.register_assert_rewrite("tests.fleet.load", "tests.fleet.release", "tests.fleet.web")
ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A site folder with fake secrets that are really encrypted, and operators with real keys."""
    # Imported here: the tiers that need no site folder do not wait for Salt.
    from lab.compile import stop_gpg
    from lab.site import write

    folder = tmp_path_factory.mktemp("site")
    write(folder / "site", folder / "keys")
    yield folder / "site"
    stop_gpg(folder / "site")


def pytest_configure(config):
    """What Salt's daemons log would fill pages below a failed test."""
    config.option.showcapture = "stdout"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Salt's handlers would each complain at exit about pytest's closed streams."""
    logging.raiseExceptions = False


@pytest.fixture(scope="session")
def compiled(site):
    """Every server's pillar and states: {host: {"pillar": dict, "low": list}}."""
    from lab.compile import compile_all

    return compile_all(ROOT, site)
