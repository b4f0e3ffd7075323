"""What a user without any rights puts into a home blinds no survey: it ends, and tells what it could not read."""

import json
import os

import insync_survey
import insync_survey_cron
import insync_survey_system
import pytest

from tests.unit.survey_server import sqlite


@pytest.fixture
def home(root):
    """The home of a user of ``root``, and things beside it that are to be found."""
    with (root.path / "etc/passwd").open("a") as file:
        file.write("mallory:x:1000:1000::/home/mallory:/bin/bash\n")
    sqlite(root, "/srv/lists.db")
    root.write("/srv/venv/pyvenv.cfg")
    root.write("/etc/systemd/system/own.service", "[Service]\nExecStart=/x\n")
    root.write("/home/mallory/.ssh/x")
    root.write("/home/mallory/.config/systemd/user/x")
    return root.path / "home/mallory"


def lost(found):
    """Whether what lies beside the home was not found."""
    paths = {row["path"] for section in ("databases", "virtualenvs", "units") for row in found["found"][section]}
    return {"/srv/lists.db", "/srv/venv", "/etc/systemd/system/own.service"} - paths


KEYS, UNIT = ".ssh/authorized_keys_x", ".config/systemd/user/x.service"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [KEYS, UNIT])
@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder", "large"])
def test_what_is_no_file_is_told(root, home, name, kind):
    path = home / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 10**12)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "loop": path.name}[kind])
    found = root.survey()
    assert not lost(found)
    reason = {"large": "too large", "loop": "cannot be read"}.get(kind, "no file")
    # Of a link that leads nowhere there is nothing to read.
    assert found["incomplete"] == [f"/home/mallory/{name}: {reason}"]


def test_what_is_to_be_empty_is_nothing_to_tell(root, home):
    (home / KEYS).symlink_to("/dev/null")
    assert root.survey()["incomplete"] == []


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "/etc/nginx/conf.d/x", "/etc/apt/sources.list.d/x.list", "/etc/own"])
def test_a_pipe_where_an_administrator_may_put_one_keeps_nothing_waiting(root, home, name):
    root.package("own", [], conffiles=["/etc/own"])
    (root.path / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(root.path / name.lstrip("/"))
    assert not lost(root.survey())


def test_a_database_that_becomes_a_pipe_keeps_nothing_waiting(root, home, monkeypatch):
    sqlite(root, "/home/mallory/x.db")
    real = insync_survey.insync_survey_data.files

    def then(system):
        found = real(system)
        (home / "x.db").unlink()
        os.mkfifo(home / "x.db")
        return found

    monkeypatch.setattr(insync_survey.insync_survey_data, "files", then)
    assert not lost(root.survey())


@pytest.mark.parametrize(
    "name", ["**x", "[", "*", "a\nunit /etc/x", b"\xff".decode(errors="surrogateescape"), "\x1b[2J"]
)
def test_a_name_that_is_none_is_told_as_what_it_is(root, home, name):
    sqlite(root, f"/home/mallory/{name}/x.db")
    root.write(f"/home/mallory/{name}/venv/pyvenv.cfg")
    (home / f".config/systemd/user/{name.replace('/', '')}.service").write_text("")
    found = root.survey()
    assert not lost(found) and found["incomplete"] == []
    assert len(found["found"]["databases"]) == 2 and len(found["found"]["units"]) == 2
    said = json.dumps(found, ensure_ascii=False)
    assert said.encode() and all(one.isprintable() for line in found["unknown"] for one in line)


def test_very_many_of_a_kind_are_cut_short(root, home, monkeypatch):
    monkeypatch.setattr(insync_survey, "ROWS", 3)
    monkeypatch.setattr(insync_survey_system, "NAMES", 4)
    monkeypatch.setattr(insync_survey_cron, "LINES", 2)
    for number in range(6):
        (home / f".config/systemd/user/{number}.service").write_text("")
        root.write(f"/etc/cron.d/{number}", "@daily root x\n" * 3)
    assert {"units: 3 of 5 are told", "/etc/cron.d/*: too many files", "/etc/cron.d/0: too many lines"} <= set(
        root.survey()["incomplete"]
    )


def test_a_home_that_changes_meanwhile_breaks_nothing(root, home, monkeypatch):
    real = insync_survey_system.System.walk

    def walk(self, tops):
        for entry in real(self, tops):
            if entry.name == "x.db":
                os.unlink(entry.path)
            yield entry

    sqlite(root, "/home/mallory/x.db")
    monkeypatch.setattr(insync_survey_system.System, "walk", walk)
    found = root.survey()
    assert not lost(found) and found["incomplete"] == []


def test_homes_with_very_much_in_them_are_cut_short(root, home, monkeypatch):
    monkeypatch.setattr(insync_survey_system, "READ", 10)
    monkeypatch.setattr(insync_survey.insync_survey_data, "PACKAGES", 2)
    for number in range(3):
        (home / f".ssh/authorized_keys{number}").write_text("x" * 8)
        root.write(f"/home/mallory/{number}/pyvenv.cfg")
        root.link(f"/home/mallory/{number}/lib", "../lib")
    root.write("/home/mallory/lib/python3/site-packages/a-1.dist-info/x")
    root.write("/home/mallory/lib/python3/site-packages/b-1.dist-info/x")
    found = root.survey()
    assert found["incomplete"] == ["virtualenvs: too many packages", "/home/mallory: too much to read"]
    assert "/etc/systemd/system/own.service" not in lost(found)
