"""How the Sentry server moves to a new release: its databases, and what is left when that fails."""

import os
import pathlib
import sqlite3

import insync_bugsink
import insync_systemd
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "salt" / "bugsink" / "files" / "lib" / "databases.py")
# A release of Bugsink: what it does with the databases that it is given.
MANAGE = """#!/bin/sh
case "$*" in *snappea*) name=snappea;; *) name=db;; esac
python3 - "$BUGSINK_DATABASES/$name.sqlite3" <<'END'
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("CREATE TABLE IF NOT EXISTS migrations (name)")
database.execute("INSERT INTO migrations VALUES (?)", ("{release}",))
database.commit()
END
{then}
"""
UNITS = ["bugsink", "bugsink-snappea"]
OLD, NEW = "0123456789ab", "ba9876543210"


class Systemd:
    """Units that run, what was asked of them, and how often a start fails from now on."""

    def __init__(self):
        self.running, self.asked, self.broken = set(UNITS), [], 0
        # Those that are started over and over, and those that a reboot starts.
        self.looping, self.enabled = set(), set()

    def state(self, unit):
        if unit in self.looping:
            return {"active": "activating", "pid": "0"}
        return {"active": "active" if unit in self.running else "inactive", "pid": "1"}

    def systemctl(self, verb, *units):
        self.asked.append(verb)
        if verb == "start" and self.broken:
            self.broken -= 1
            self.looping = set(units)
            raise insync_systemd.UnitError("it ended at once")
        self.looping = set()
        self.running = set(units) if verb == "start" else set()


@pytest.fixture
def systemd(monkeypatch):
    systemd = Systemd()
    monkeypatch.setattr(insync_bugsink.insync_systemd, "state", systemd.state)
    monkeypatch.setattr(insync_bugsink.insync_systemd, "systemctl", systemd.systemctl)
    monkeypatch.setattr(
        insync_bugsink.insync_systemd, "enabled", lambda unit: "enabled" if unit in systemd.enabled else "disabled"
    )
    monkeypatch.setattr(insync_bugsink.insync_systemd, "last_words", lambda unit: "boom")
    monkeypatch.setattr(insync_bugsink.insync_systemd, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(insync_bugsink, "_as", lambda user: ["env"])
    return systemd


@pytest.fixture
def bugsink(tmp_path, systemd):
    """One in service, of the release OLD, with an event."""
    (tmp_path / "data").mkdir()
    found = insync_bugsink.Bugsink(tmp_path / "data", tmp_path / "etc", "nobody")
    systemd.running = set()
    insync_bugsink.upgrade(found, release(tmp_path, OLD), tmp_path / "bugsink", SCRIPT, UNITS)
    with sqlite3.connect(found.data / "db.sqlite3") as database:
        database.execute("CREATE TABLE events (text)")
        database.execute("INSERT INTO events VALUES ('boom')")
    systemd.running, systemd.asked = set(UNITS), []
    return found


def release(folder, name, then=""):
    """Make the virtualenv of a release; ``then`` is what its migration ends with."""
    program = folder / f"bugsink-{name}" / "bin" / "bugsink-manage"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(MANAGE.format(release=name, then=then), encoding="utf-8")
    program.chmod(0o755)
    return program.parent.parent


def upgrade(bugsink, home):
    insync_bugsink.upgrade(bugsink, home, bugsink.data.parent / "bugsink", SCRIPT, UNITS)


def migrated(path):
    """The releases that have migrated the database ``path``."""
    with sqlite3.connect(path) as database:
        return [name for (name,) in database.execute("SELECT name FROM migrations")]


def events(path):
    with sqlite3.connect(path) as database:
        return [text for (text,) in database.execute("SELECT text FROM events")]


def in_service(bugsink):
    return os.readlink(bugsink.data.parent / "bugsink").rpartition("-")[2]


def names(bugsink):
    return sorted(path.name for path in bugsink.data.iterdir())


def test_a_first_release_makes_the_databases_and_no_backup(bugsink):
    assert (names(bugsink), in_service(bugsink)) == (["db.sqlite3", "snappea.sqlite3"], OLD)


def test_an_upgrade_migrates_copies_and_keeps_what_was(bugsink, systemd, tmp_path):
    upgrade(bugsink, release(tmp_path, NEW))
    assert (in_service(bugsink), systemd.asked) == (NEW, ["stop", "start"])
    (backup,) = (bugsink.data / "backups").iterdir()
    assert backup.name.endswith(f"-{OLD}")
    for name in ("db.sqlite3", "snappea.sqlite3"):
        assert migrated(bugsink.data / name) == [OLD, NEW]
        assert migrated(backup / name) == [OLD]
    assert events(bugsink.data / "db.sqlite3") == events(backup / "db.sqlite3") == ["boom"]
    assert names(bugsink) == ["backups", "db.sqlite3", "snappea.sqlite3"]


def test_a_migration_that_fails_is_tried_on_a_copy_and_stops_nothing(bugsink, systemd, tmp_path):
    with pytest.raises(insync_bugsink.BugsinkError, match="^no such table: x$"):
        upgrade(bugsink, release(tmp_path, NEW, "echo Traceback >&2; echo no such table: x >&2; exit 1"))
    assert (in_service(bugsink), systemd.asked) == (OLD, [])
    assert migrated(bugsink.data / "db.sqlite3") == [OLD]
    assert names(bugsink) == ["db.sqlite3", "snappea.sqlite3"]


def test_one_that_fails_only_the_second_time_leaves_the_old_release_serving(bugsink, systemd, tmp_path):
    home = release(tmp_path, NEW, f"n=$(cat {tmp_path}/n); echo x$n > {tmp_path}/n; [ ${{#n}} -lt 3 ]")
    (tmp_path / "n").write_text("", encoding="utf-8")
    with pytest.raises(insync_bugsink.BugsinkError):
        upgrade(bugsink, home)
    assert (in_service(bugsink), systemd.asked, systemd.running) == (OLD, ["stop", "start"], set(UNITS))
    assert migrated(bugsink.data / "db.sqlite3") == [OLD]
    assert names(bugsink) == ["db.sqlite3", "snappea.sqlite3"]


def test_a_release_that_does_not_start_goes_back_with_its_databases(bugsink, systemd, tmp_path):
    systemd.broken = 1
    with pytest.raises(insync_systemd.UnitError, match="it ended at once"):
        upgrade(bugsink, release(tmp_path, NEW))
    assert (in_service(bugsink), systemd.asked) == (OLD, ["stop", "start", "stop", "start"])
    assert systemd.running == set(UNITS)
    assert migrated(bugsink.data / "db.sqlite3") == [OLD]
    assert events(bugsink.data / "db.sqlite3") == ["boom"]
    assert list((bugsink.data / "backups").iterdir()) == []


def test_a_unit_that_is_started_over_and_over_is_stopped_and_what_is_enabled_starts(bugsink, systemd, tmp_path):
    """Between two starts it is not active, but it comes back in the middle of the upgrade."""
    systemd.running, systemd.looping, systemd.enabled = set(), {UNITS[0]}, {UNITS[1]}
    upgrade(bugsink, release(tmp_path, NEW))
    assert (in_service(bugsink), systemd.asked, systemd.running) == (NEW, ["stop", "start"], set(UNITS))


def test_a_release_that_starts_and_ends_goes_back(bugsink, systemd, tmp_path, monkeypatch):
    """systemd calls its start a success."""

    def ends(verb, *units):
        systemd.systemctl(verb, *units)
        systemd.looping = {UNITS[0]} if verb == "start" and in_service(bugsink) == NEW else set()

    monkeypatch.setattr(insync_bugsink.insync_systemd, "systemctl", ends)
    with pytest.raises(insync_systemd.UnitError, match=f"^{UNITS[0]} ended at once; it said: boom$"):
        upgrade(bugsink, release(tmp_path, NEW))
    assert (in_service(bugsink), systemd.running, systemd.looping) == (OLD, set(UNITS), set())


def test_where_none_starts_both_reasons_are_told(bugsink, systemd, tmp_path):
    systemd.broken = 2
    with pytest.raises(insync_bugsink.BugsinkError, match="^it ended at once; nor does the one before serve"):
        upgrade(bugsink, release(tmp_path, NEW))
    assert in_service(bugsink) == OLD


def test_what_does_not_run_is_not_started(bugsink, systemd, tmp_path):
    systemd.running = set()
    upgrade(bugsink, release(tmp_path, NEW))
    assert (in_service(bugsink), systemd.asked) == (NEW, [])


def test_a_copy_has_what_is_in_the_log_of_a_database_in_use(bugsink, tmp_path):
    database = sqlite3.connect(bugsink.data / "db.sqlite3")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO events VALUES ('late')")
    database.commit()
    assert (bugsink.data / "db.sqlite3-wal").stat().st_size > 0
    copy = bugsink.migrated_copy(release(tmp_path, NEW), SCRIPT)
    database.close()
    assert events(copy / "db.sqlite3") == ["boom", "late"]


def test_the_newest_backups_stay(bugsink):
    backups = bugsink.data / "backups"
    for day in (3, 1, 4, 2):
        (backups / f"2026010{day}T000000Z-{OLD}").mkdir(parents=True)
    bugsink.prune()
    assert [path.name[7] for path in sorted(backups.iterdir())] == ["2", "3", "4"]


def test_accounts_are_told_on_standard_input_only(bugsink, tmp_path):
    program = tmp_path / "program" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/argv\necho noise\ncat\n', encoding="utf-8")
    program.chmod(0o755)
    wanted = {"password": 'se\'cret "1" ü'}
    assert insync_bugsink.provision(bugsink, tmp_path / "program", "provision.py", wanted) == wanted
    assert (tmp_path / "argv").read_text(encoding="utf-8") == "provision.py\n"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho nothing\n", encoding="utf-8")
    with pytest.raises(insync_bugsink.BugsinkError, match="provision.py printed no JSON"):
        insync_bugsink.provision(bugsink, tmp_path / "program", "provision.py", wanted)


@pytest.mark.parametrize("key", ["", "A" * 32, "a" * 31, "7c1e5a9d-3b8f-4062-a1d4-c7e9f0b35826"])
def test_a_key_that_no_client_can_use_is_named(key):
    projects = {"web": {"number": 1, "key": "sentry:web_key", "max_events": 1}}
    with pytest.raises(insync_bugsink.BugsinkError, match="the secret sentry:web_key is no key"):
        insync_bugsink.wanted_projects(projects, lambda where: key)


def test_two_projects_have_two_numbers():
    projects = {name: {"number": 1, "key": "sentry:web_key"} for name in ("web", "license")}
    with pytest.raises(insync_bugsink.BugsinkError, match="same number"):
        insync_bugsink.wanted_projects(projects, lambda where: "a" * 32)


def test_applications_are_told_the_project_that_there_is():
    """The number and the key are in both roles' pillar: the one makes the project, the other tells who sends to it."""
    projects = pillar("sentry")["bugsink"]["projects"]
    told = {
        name: conf["sentry"] for name, conf in pillar("conf_server")["conf"]["namespaces"].items() if "sentry" in conf
    }
    assert {name: (conf["project"], conf["key"]["secret"]) for name, conf in told.items()} == {
        name: (str(project["number"]), project["key"]) for name, project in projects.items()
    }


def pillar(role):
    return yaml.safe_load((ROOT / "pillar" / "role" / f"{role}.sls").read_text(encoding="utf-8"))
