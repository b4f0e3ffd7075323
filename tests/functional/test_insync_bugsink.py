"""The states of the Sentry server, on virtualenvs that stand in for Bugsink's."""

import json

import insync_bugsink
import insync_venv
import pytest

SECRETS = {"password": 'pass\'word "1" ü', "token": "1" * 40, "key": "2" * 32}
PROJECTS = {"web": {"number": 1, "key": "sentry:key", "max_events": 7}}


@pytest.fixture
def bugsink(tmp_path, monkeypatch):
    """Bugsink's folder; what its provision.py reads is in told.json, and what that says has changed in changes.json."""
    monkeypatch.setattr(insync_bugsink, "_as", lambda user: ["env"])
    data, program = tmp_path / "data", tmp_path / "bugsink" / "bin" / "python"
    data.mkdir()
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/told.json\ncat {tmp_path}/changes.json\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "conf.py").write_text("x\n", encoding="utf-8")
    (data / "db.sqlite3").touch()
    (tmp_path / "changes.json").write_text("{}", encoding="utf-8")
    return tmp_path


@pytest.fixture
def provisioned(modules, bugsink):
    """Apply the state that provisions; ``secrets`` are in its pillar."""

    def apply(test=False, secrets=SECRETS):
        arguments = {"name": str(bugsink / "bugsink"), "data": str(bugsink / "data"), "settings": str(bugsink)}
        arguments |= {"script": "provision.py", "admin": "ops@insynchq.com", "team": "Insync", "projects": PROJECTS}
        arguments |= {"password": "sentry:password", "token": "sentry:token"}
        chunk = ["provisioned", *({key: value} for key, value in arguments.items()), {"require": [{"test": "release"}]}]
        settings = [{"name": str(bugsink / "conf.py")}, {"contents": "x"}]
        data = {
            "bugsink": {"insync_bugsink": chunk},
            "release": {"test": ["nop", {"require": [{"file": "settings"}]}]},
            "settings": {"file": ["managed", *settings]},
        }
        data = {name: {**states, "__sls__": "bugsink", "__env__": "base"} for name, states in data.items()}
        results = modules["state.high"](data, test=test, pillar={"secrets": {"sentry": secrets}})
        assert isinstance(results, dict), results
        return next(result for result in results.values() if result["__id__"] == "bugsink")

    return apply


def test_what_differs_is_told_and_changed_only_outside_test_mode(provisioned, bugsink, testmode):
    result = provisioned(test=testmode)
    assert (result["result"], result["changes"]) == (True, {})
    changes = {"team Insync": {"old": "absent", "new": "present"}}
    (bugsink / "changes.json").write_text(json.dumps(changes), encoding="utf-8")
    result = provisioned(test=testmode)
    assert (result["result"], result["changes"]) == (None if testmode else True, changes)
    told = json.loads((bugsink / "told.json").read_text(encoding="utf-8"))
    assert told["test"] is testmode
    assert (told["password"], told["token"]) == (SECRETS["password"], SECRETS["token"])
    assert told["projects"] == {"web": {**PROJECTS["web"], "key": SECRETS["key"]}}
    assert not [secret for secret in SECRETS.values() if secret in str(result)]


def test_on_a_blank_server_test_mode_tells_the_projects(provisioned, bugsink):
    (bugsink / "data" / "db.sqlite3").unlink()
    result = provisioned(test=True)
    assert (result["result"], list(result["changes"])) == (None, ["project web"])
    assert not (bugsink / "told.json").exists()


def test_what_is_brought_back_alone_is_asked_once_its_program_and_settings_are(provisioned, bugsink):
    """Test mode knows that something comes before, and not what differs; it is as bad as it looks if nothing does."""
    (bugsink / "bugsink" / "bin" / "python").unlink()
    for test in (True, False):
        result = provisioned(test=test)
        assert (result["result"], result["changes"]) == (False, {})
        assert "bin/python" in result["comment"]
    (bugsink / "conf.py").unlink()
    result = provisioned(test=True)
    assert (result["result"], result["changes"]) == (None, {})
    assert "what differs is seen once it is run, after settings (" in result["comment"]
    assert "there is no secret" in provisioned(test=True, secrets={"key": SECRETS["key"]})["comment"]
    assert not (bugsink / "conf.py").exists()


@pytest.mark.parametrize(
    "secrets, message",
    [
        ({**SECRETS, "password": ""}, "there is no secret sentry:password"),
        ({"key": SECRETS["key"]}, "there is no secret sentry:password"),
        ({**SECRETS, "key": "short"}, "the secret sentry:key is no key"),
    ],
)
def test_a_secret_that_is_missing_or_wrong_is_named(provisioned, bugsink, secrets, message):
    result = provisioned(secrets=secrets)
    assert (result["result"], result["changes"]) == (False, {})
    assert message in result["comment"]
    assert not (bugsink / "told.json").exists()


def test_a_command_that_fails_fails_the_state_in_one_line(provisioned, bugsink):
    program = bugsink / "bugsink" / "bin" / "python"
    program.write_text("#!/bin/sh\necho Traceback >&2\necho 'database is locked' >&2\nexit 1\n", encoding="utf-8")
    result = provisioned()
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].endswith(": database is locked")


def test_an_index_that_is_down_leaves_what_serves(single, bugsink, tmp_path, monkeypatch):
    environment = insync_venv._environment
    monkeypatch.setattr(insync_venv, "_environment", lambda *ways: {**environment(*ways), "UV_HTTP_RETRIES": "0"})
    monkeypatch.setattr(insync_venv, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(insync_venv, "CACHE", tmp_path / "uv")
    lock = tmp_path / "served" / "bugsink" / "files" / "requirements.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text("bugsink==1.0 --hash=sha256:" + "0" * 64 + "\n", encoding="utf-8")
    arguments = {"name": str(tmp_path / "opt"), "lock": "salt://bugsink/files/requirements.txt", "ca": None}
    arguments |= {"index": "http://127.0.0.1:1/simple/", "data": str(tmp_path / "data"), "settings": str(tmp_path)}
    arguments |= {"script": "databases.py", "units": []}
    result = single("insync_bugsink.released", test=True, **arguments)
    assert (result["result"], result["changes"]["release"]["old"]) == (None, None)
    result = single("insync_bugsink.released", **arguments)
    assert (result["result"], result["changes"]) == (False, {})
    assert [path.name for path in tmp_path.glob("opt*")] == []
