"""
The first release of an application, on real files and a real index; only systemd is played, by a module that remembers.

That units really start is seen in the fleet.
"""

import json
import pathlib

import insync_systemd
import insync_venv
import pytest

from tests.functional.private import private_world
from tests.functional.test_insync_venv import own_paths, served, wheel  # noqa: F401  fixtures

UNITS = """
import json, pathlib, time

__virtualname__ = "service"
_FILE = pathlib.Path({file!r})


def __virtual__():
    return __virtualname__


def _units():
    return json.loads(_FILE.read_text())


def _set(name, **facts):
    units = _units()
    units.setdefault(name, {{}}).update(facts)
    units["log"] = [*units.get("log", []), f"{{name}} {{facts}}"]
    _FILE.write_text(json.dumps(units))
    return True


def enabled(name, **kwargs):
    return _units().get(name, {{}}).get("enabled", False)


def status(name, **kwargs):
    return _units().get(name, {{}}).get("running", False)


def enable(name, **kwargs):
    return _set(name, enabled=True)


def start(name, **kwargs):
    return not _units().get("broken") and (status(name) or _set(name, running=True, read_at=time.time()))


def stop(name, **kwargs):
    return not status(name) or _set(name, running=False)


def restart(name, **kwargs):
    return not _units().get("broken") and _set(name, running=True, restarted=True, read_at=time.time())


def systemctl_reload():
    return _set("systemd", reloaded=True)
"""


@pytest.fixture
def units(tmp_path, monkeypatch):
    """What systemd knows, as a dict in a file; ``broken: true`` in it lets no unit start."""
    file = tmp_path / "units.json"
    file.write_text("{}")
    read_at = lambda unit, reloads=False: json.loads(file.read_text()).get(unit, {}).get("read_at", 0)  # noqa: E731
    monkeypatch.setattr(insync_systemd, "read_at", read_at)
    return file


@pytest.fixture
def opts(opts, tmp_path, units):
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "service.py").write_text(UNITS.format(file=str(units)))
    opts["module_dirs"] = [str(tmp_path / "mods"), *opts["module_dirs"]]
    return opts


@pytest.fixture
def serving(high, tmp_path, served):  # noqa: F811
    """Apply the state as the component does: with a settings file beside it that it watches."""
    link = tmp_path / "venv" / "app"
    # The private world has no network: the index is a folder.
    index = f"file://{served}"

    def _serving(lock, slots=None, settings="1", test=False, slot=""):
        pathlib.Path("/etc/insync/app").mkdir(parents=True, exist_ok=True)
        for folder in served.iterdir():
            links = (f'<a href="{path.name}">{path.name}</a>' for path in folder.glob("*.whl"))
            (folder / "index.html").write_text("\n".join(links))
        arguments = {
            "lock": lock,
            "link": str(link),
            "slots": slots or {"blue": 8101, "green": 8102},
            "index": index,
            "slot": slot,
        }
        data = {
            "app-settings": {"file": ["managed", {"name": "/etc/insync/app/settings.json"}, {"contents": settings}]},
            "app-release": {
                "insync_release": [
                    "serving",
                    {"name": "app"},
                    *({key: value} for key, value in arguments.items()),
                    {"ca": "/etc/ssl/certs/ca-certificates.crt"},
                    {"watch": [{"file": "app-settings"}]},
                ]
            },
        }
        results = high(data, test=test)
        assert "app-release" in results, results
        return results["app-release"]

    _serving.link = link
    return _serving


def record():
    path = pathlib.Path("/var/lib/insync/app/state.json")
    return json.loads(path.read_text()) if path.exists() else None


def environment(slot="blue"):
    path = pathlib.Path(f"/etc/insync/app/{slot}.env")
    return dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else None


@private_world
def test_a_blank_server_gets_the_declared_release_and_keeps_it(serving, served, units):  # noqa: F811
    first, later = wheel(served, "1.0.0"), wheel(served, "1.1.0")
    release = insync_venv.release_id(first)
    dry = serving(first, test=True)
    assert (dry["result"], record(), environment()) == (None, None, None)
    done = serving(first)
    assert (done["result"], set(done["changes"])) == (True, {"release", "app@blue"}) == (True, set(dry["changes"]))
    assert record()["release"] == release and record()["slot"] == "blue"
    home = f"{serving.link}-{release}"
    assert environment() == {"VENV": home, "RELEASE": release, "SLOT": "blue", "PORT": "8101"}
    assert str(serving.link.resolve()) == home
    again = serving(later)
    assert (again["result"], again["changes"]) == (True, {}), "another lock moves nothing"
    assert record()["release"] == release
    changed = serving(first, settings="2")
    assert (changed["result"], changed["changes"]) == (True, {})
    assert "next start" in changed["comment"]
    assert "restarted" not in units.read_text()


@private_world
def test_a_blank_server_joins_in_the_slot_that_its_pool_is_asked_in(serving, served, units):  # noqa: F811
    lock = wheel(served, "1.0.0")
    assert set(serving(lock, slot="green")["changes"]) == {"release", "app@green"}
    assert (record()["slot"], environment("green")["PORT"]) == ("green", "8102")
    again = serving(lock, slot="blue")
    assert (again["result"], again["changes"], record()["slot"]) == (True, {}, "green")


@private_world
def test_an_application_with_one_slot_is_restarted_for_new_settings(serving, served, units):  # noqa: F811
    lock, slots = wheel(served, "1.0.0"), {"main": 8121}
    assert set(serving(lock, slots)["changes"]) == {"release", "app"}
    dry = serving(lock, slots, settings="2", test=True)
    assert (dry["result"], dry["changes"]) == (None, {"app": "restarted"})
    assert "restarted" not in units.read_text()
    done = serving(lock, slots, settings="2")
    assert (done["result"], done["changes"]) == (True, {"app": "restarted"})
    units.write_text(units.read_text().replace("{", '{"broken": true, ', 1))
    failed = serving(lock, slots, settings="3")
    assert (failed["result"], failed["changes"]) == (False, {})
    units.write_text(units.read_text().replace('"broken": true, ', "", 1))
    for test in (True, False):
        owed = serving(lock, slots, settings="3", test=test)
        assert (owed["result"], owed["changes"]) == (None if test else True, {"app": "restarted"})
    assert serving(lock, slots, settings="3")["changes"] == {}


@pytest.mark.parametrize(
    "lock, words",
    [("", "releases/app.txt"), ("insync-probe==9.9.9 --hash=sha256:" + "0" * 64 + "\n", "insync-probe==9.9.9")],
)
@private_world
def test_what_cannot_be_installed_fails_also_where_settings_are_new_and_a_later_run_recovers(
    serving,
    served,  # noqa: F811
    lock,
    words,
):
    good = wheel(served, "1.0.0")
    failed = serving(lock)
    assert (failed["result"], failed["changes"]) == (False, {})
    assert words in failed["comment"]
    assert (record(), environment()) == (None, None)
    assert serving(good)["result"] is True
    assert record()["release"] == insync_venv.release_id(good)


@private_world
def test_a_first_start_that_fails_is_tried_again_with_whatever_is_declared_then(serving, served, units):  # noqa: F811
    bad, good = wheel(served, "1.0.0"), wheel(served, "1.1.0")
    units.write_text('{"broken": true}')
    failed = serving(bad)
    assert (failed["result"], failed["changes"], record()) == (False, {}, None)
    assert "app@blue does not start" in failed["comment"]
    units.write_text("{}")
    assert serving(good)["result"] is True
    assert environment()["RELEASE"] == record()["release"] == insync_venv.release_id(good)


@private_world
def test_what_would_be_missed_at_the_next_start_is_mended_without_one(serving, served, units):  # noqa: F811
    lock = wheel(served, "1.0.0")
    serving(lock)
    before = environment()
    pathlib.Path("/etc/insync/app/blue.env").write_text("RELEASE=by-hand\n")
    serving.link.unlink()
    log = json.loads(units.read_text())["log"]
    dry = serving(lock, test=True)
    assert (dry["result"], environment()) == (None, {"RELEASE": "by-hand"})
    done = serving(lock)
    assert done["changes"] == dry["changes"]
    assert set(done["changes"]) == {"/etc/insync/app/blue.env", str(serving.link)}
    assert environment() == before and serving.link.exists()
    assert json.loads(units.read_text())["log"] == log, "nothing was stopped or started"
    assert serving(lock)["changes"] == {}


@private_world
def test_a_unit_that_is_stopped_is_started_in_the_slot_of_the_record(serving, served, units):  # noqa: F811
    lock = wheel(served, "1.0.0")
    serving(lock)
    facts = {**record(), "slot": "green"}
    pathlib.Path("/var/lib/insync/app/state.json").write_text(json.dumps(facts))
    units.write_text("{}")
    done = serving(lock)
    assert (done["result"], "app@green" in done["changes"]) == (True, True)
    assert environment("green")["PORT"] == "8102"
    assert "app@blue" not in units.read_text()


@pytest.mark.parametrize("text", ["", "[]", "null", '"x"', "{}", '{"release": "x", "slot": "purple"}', "{"])
@private_world
def test_a_record_that_says_nothing_is_one_line(serving, served, text):  # noqa: F811
    lock = wheel(served, "1.0.0")
    serving(lock)
    pathlib.Path("/var/lib/insync/app/state.json").write_text(text)
    failed = serving(lock)
    assert (failed["result"], failed["changes"]) == (False, {})
    assert "/var/lib/insync/app/state.json names no release" in failed["comment"]
    assert "\n" not in failed["comment"]


@private_world
def test_a_release_in_service_that_is_gone_is_said_and_not_replaced(serving, served):  # noqa: F811
    lock = wheel(served, "1.0.0")
    serving(lock)
    (serving.link.resolve() / ".complete").unlink()
    failed = serving(wheel(served, "1.1.0"))
    assert (failed["result"], failed["changes"]) == (False, {})
    assert "is gone or half removed" in failed["comment"]
