"""The states of the forum, on virtualenvs that stand in for Misago's."""

import json

import insync_misago
import insync_postgresql
import insync_venv
import pytest

PASSWORD = 'pass\'word "1" ü'
LOCK = "salt://misago/files/requirements.txt"


@pytest.fixture
def misago(tmp_path, monkeypatch):
    """Misago's folders; what its provision.py reads is in told.json, and what that says has changed in changes.json."""
    monkeypatch.setattr(insync_misago, "_as", lambda user, group: ["env"])
    monkeypatch.setattr(insync_postgresql, "has", lambda database: (tmp_path / "database").exists())
    program = tmp_path / "misago" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/told.json\ncat {tmp_path}/changes.json\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "conf.py").write_text("x\n", encoding="utf-8")
    (tmp_path / "database").touch()
    (tmp_path / "changes.json").write_text("{}", encoding="utf-8")
    return tmp_path


@pytest.fixture
def provisioned(modules, misago):
    """Apply the state that provisions; ``password`` is in its pillar."""

    def apply(test=False, password=PASSWORD):
        arguments = {"name": str(misago / "misago"), "data": str(misago), "settings": str(misago), "database": "misago"}
        arguments |= {"script": "provision.py", "admin": {"name": "ops", "email": "ops@insynchq.com"}}
        arguments |= {"password": "forum:password", "values": {"forum_name": "Insync"}}
        chunk = ["provisioned", *({key: value} for key, value in arguments.items()), {"require": [{"test": "release"}]}]
        settings = [{"name": str(misago / "conf.py")}, {"contents": "x"}]
        data = {
            "misago": {"insync_misago": chunk},
            "release": {"test": ["nop", {"require": [{"file": "settings"}]}]},
            "settings": {"file": ["managed", *settings]},
        }
        data = {name: {**states, "__sls__": "misago", "__env__": "base"} for name, states in data.items()}
        results = modules["state.high"](data, test=test, pillar={"secrets": {"forum": {"password": password}}})
        assert isinstance(results, dict), results
        return next(result for result in results.values() if result["__id__"] == "misago")

    return apply


def test_what_differs_is_told_and_changed_only_outside_test_mode(provisioned, misago, testmode):
    result = provisioned(test=testmode)
    assert (result["result"], result["changes"]) == (True, {})
    changes = {"forum_name": {"old": "Misago", "new": "Insync"}}
    (misago / "changes.json").write_text(json.dumps(changes), encoding="utf-8")
    result = provisioned(test=testmode)
    assert (result["result"], result["changes"]) == (None if testmode else True, changes)
    told = json.loads((misago / "told.json").read_text(encoding="utf-8"))
    wanted = {"name": "ops", "email": "ops@insynchq.com", "password": PASSWORD, "values": {"forum_name": "Insync"}}
    assert told == {**wanted, "test": testmode}
    assert PASSWORD not in str(result)


def test_on_a_blank_server_test_mode_tells_the_administrator(provisioned, misago):
    (misago / "database").unlink()
    result = provisioned(test=True)
    assert (result["result"], list(result["changes"])) == (None, ["administrator ops"])
    assert not (misago / "told.json").exists()


def test_what_is_brought_back_alone_is_asked_once_its_program_and_settings_are(provisioned, misago):
    """Test mode knows that something comes before, and not what differs; it is as bad as it looks if nothing does."""
    (misago / "misago" / "bin" / "python").unlink()
    for test in (True, False):
        result = provisioned(test=test)
        assert (result["result"], result["changes"]) == (False, {})
        assert "bin/python" in result["comment"]
    (misago / "conf.py").unlink()
    result = provisioned(test=True)
    assert (result["result"], result["changes"]) == (None, {})
    assert "what differs is seen once it is run, after settings (" in result["comment"]
    assert provisioned(test=True, password="")["result"] is False


def test_a_database_that_does_not_run_yet_is_asked_once_it_does(provisioned, misago, released, monkeypatch):
    def refuse(database):
        raise insync_postgresql.DatabaseError("it does not run")

    monkeypatch.setattr(insync_postgresql, "has", refuse)
    assert provisioned(test=True)["result"] is False
    (misago / "conf.py").unlink()
    result = provisioned(test=True)
    assert (result["result"], result["changes"]) == (None, {})
    assert result["comment"].endswith("after settings (" + str(misago / "misago") + ": it does not run)")
    in_service(misago)
    assert released(test=True)["comment"].endswith(": it does not run")


def test_a_secret_that_is_missing_is_named(provisioned, misago):
    result = provisioned(password="")
    assert (result["result"], result["changes"]) == (False, {})
    assert "there is no secret forum:password" in result["comment"]
    assert not (misago / "told.json").exists()


def test_a_command_that_fails_fails_the_state_in_one_line(provisioned, misago):
    program = misago / "misago" / "bin" / "python"
    program.write_text("#!/bin/sh\necho Traceback >&2\necho 'no connection' >&2\nexit 1\n", encoding="utf-8")
    result = provisioned()
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].endswith(": no connection")


@pytest.fixture
def released(single, misago, monkeypatch):
    """Apply the state that puts a release in service, of which nobody has built anything."""
    environment = insync_venv._environment
    monkeypatch.setattr(insync_venv, "_environment", lambda *ways: {**environment(*ways), "UV_HTTP_RETRIES": "0"})
    monkeypatch.setattr(insync_venv, "LOCKS", misago / "locks")
    monkeypatch.setattr(insync_venv, "CACHE", misago / "uv")
    lock = misago / "served" / "misago" / "files" / "requirements.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text("misago==1.0 --hash=sha256:" + "0" * 64 + "\n", encoding="utf-8")

    def apply(**options):
        arguments = {"name": str(misago / "opt"), "lock": LOCK, "ca": None, "index": "http://127.0.0.1:1/simple/"}
        arguments |= {"data": str(misago), "settings": str(misago), "database": "misago", "units": []}
        return single("insync_misago.released", **{**arguments, **options})

    return apply


def test_an_index_that_is_down_leaves_what_serves(released, misago):
    result = released(test=True)
    assert (result["result"], result["changes"]["release"]["old"]) == (None, None)
    result = released()
    assert (result["result"], result["changes"]) == (False, {})
    assert [path.name for path in misago.glob("opt*")] == []


def in_service(misago):
    """Let the release of the lock be in service; return its id."""
    release = insync_venv.release_id((misago / "served" / "misago" / "files" / "requirements.txt").read_text())
    (misago / f"opt-{release}").mkdir()
    (misago / f"opt-{release}" / insync_venv.COMPLETE).touch()
    (misago / "opt").symlink_to(f"opt-{release}")
    return release


def test_a_release_that_serves_is_left_alone_unless_its_database_is_gone(released, misago, testmode):
    release = in_service(misago)
    result = released(test=testmode)
    assert (result["result"], result["changes"]) == (True, {})
    (misago / "database").unlink()
    result = released(test=True)
    assert (result["result"], result["changes"]) == (None, {"release": {"old": release, "new": release}})


def test_a_lock_that_is_not_served_is_named(released):
    result = released(lock="salt://misago/files/nosuch.txt")
    assert (result["result"], result["changes"]) == (False, {})
    assert "the master does not serve salt://misago/files/nosuch.txt" in result["comment"]
