"""Salt's real loaders over this checkout, without a daemon."""

import pathlib

import pytest
import salt.config
import salt.loader

from lab.compile import GRAINS

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def opts(tmp_path):
    """The configuration of a minion without a master; a folder of the test comes first in file_roots."""
    (tmp_path / "served").mkdir()
    options = salt.config.apply_minion_config(
        {
            "id": "web02",
            "file_client": "local",
            "file_roots": {"base": [str(tmp_path / "served"), str(ROOT / "salt"), str(ROOT / "roots")]},
            "pillar_roots": {"base": [str(tmp_path / "no-pillar")]},
            "utils_dirs": [str(ROOT / "_utils")],
            "states_dirs": [str(ROOT / "_states")],
            "module_dirs": [str(ROOT / "_modules")],
            "cachedir": str(tmp_path / "cache"),
            "extension_modules": str(tmp_path / "cache" / "extmods"),
        }
    )
    options["grains"] = {**GRAINS, "id": "web02"}
    options["pillar"] = {}
    return options


@pytest.fixture
def modules(opts):
    """The execution modules."""
    return salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))


@pytest.fixture
def single(modules):
    """Apply one state: ``single("insync_host.named", name="web02", test=True)`` returns what it reports."""

    def _single(function, test=False, **arguments):
        results = modules["state.single"](function, test=test, **arguments)
        assert isinstance(results, dict), results
        return next(iter(results.values()))

    return _single


@pytest.fixture
def high(modules):
    """Apply several states, given as an SLS renders: ``high(data, test=True)`` returns ``{id: what it reports}``."""

    def _high(data, test=False):
        results = modules["state.high"](data, test=test)
        assert isinstance(results, dict), results
        return {result["__id__"]: result for result in results.values()}

    return _high


@pytest.fixture(params=[True, False], ids=["test", "real"])
def testmode(request):
    """Whether the state only says what it would do."""
    return request.param


@pytest.fixture(scope="session")
def s3_url():
    """Where an S3 is (str): that of moto."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
