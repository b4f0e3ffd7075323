"""Programs in virtualenvs out of a lock, from a package index on loopback."""

import os
import pathlib

import insync_venv
import pytest

from tests.functional.devpi import free_port, public_index

SERVED = "salt://devpi/files/requirements.txt"


@pytest.fixture
def installed(single, tmp_path, monkeypatch):
    """Apply the state for a lock that the master serves; packages come from the PublicIndex at ``url``."""
    monkeypatch.setattr(insync_venv, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(insync_venv, "CACHE", tmp_path / "uv")
    lock = tmp_path / "served" / "devpi" / "files" / "requirements.txt"
    lock.parent.mkdir(parents=True)
    (tmp_path / "opt" / "devpi-of-others").mkdir(parents=True)

    def apply(text, url, test=False):
        lock.write_text(text, encoding="utf-8")
        arguments = {"name": str(tmp_path / "opt" / "devpi"), "lock": SERVED, "index": url}
        return single("insync_venv.installed", test=test, **arguments)

    return apply


def in_use(link):
    return os.readlink(link).partition("-")[2]


def test_install_same_and_different(installed, tmp_path):
    opt, link = tmp_path / "opt", tmp_path / "opt" / "devpi"
    with public_index(tmp_path / "index") as public:
        locks = [public.offer("harmless", version) for version in ("1.0", "2.0", "3.0")]
        ids = [insync_venv.release_id(lock) for lock in locks]
        change = {"release": {"old": None, "new": ids[0]}}
        result = installed(locks[0], public.url, test=True)
        assert (result["result"], result["changes"], link.exists()) == (None, change, False)
        result = installed(locks[0], public.url)
        assert (result["result"], result["changes"], in_use(link)) == (True, change, ids[0]), result
        for test in (True, False):
            result = installed(locks[0], public.url, test=test)
            assert (result["result"], result["changes"]) == (True, {})
        for lock in locks[1:]:
            assert installed(lock, public.url)["result"] is True
        assert in_use(link) == ids[2]
    kept = {path.name for path in opt.iterdir() if path.suffix != ".lock"}
    assert kept == {"devpi", "devpi-of-others", f"devpi-{ids[1]}", f"devpi-{ids[2]}"}, "the one before is the way back"


def test_an_index_that_is_down_leaves_what_is_there(installed, tmp_path, monkeypatch):
    environment = insync_venv._environment
    monkeypatch.setattr(insync_venv, "_environment", lambda *ways: {**environment(*ways), "UV_HTTP_RETRIES": "0"})
    link, down = tmp_path / "opt" / "devpi", f"http://127.0.0.1:{free_port()}/simple/"
    with public_index(tmp_path / "index") as public:
        old, new = public.offer("harmless", "1.0"), public.offer("needless", "1.0")
        assert installed(old, public.url)["result"] is True
        result = installed(new, down)
        assert (result["result"], result["changes"]) == (False, {})
        assert f"{down}needless/" in result["comment"] and "\n" not in result["comment"]
        assert in_use(link) == insync_venv.release_id(old)
        assert not pathlib.Path(f"{link}-{insync_venv.release_id(new)}").exists(), "nothing half installed"
        assert installed(new, public.url)["result"] is True, "a later run recovers"


def test_a_slow_index_is_asked_for_a_few_things_at_a_time(installed, tmp_path):
    with public_index(tmp_path / "index") as public:
        lock = "".join(public.offer(f"harmless-{number}", "1.0") for number in range(3 * insync_venv.DOWNLOADS))
        public.delay = 0.2
        assert installed(lock, public.url)["result"] is True
    assert 2 <= public.most <= insync_venv.DOWNLOADS


def test_a_lock_that_is_not_served(single, tmp_path):
    result = single("insync_venv.installed", name=str(tmp_path / "devpi"), lock="salt://devpi/files/none.txt")
    assert (result["result"], result["changes"]) == (False, {})
    assert "the master does not serve salt://devpi/files/none.txt" in result["comment"]
