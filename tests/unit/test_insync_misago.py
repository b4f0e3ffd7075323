"""How the forum moves to a new release: its database, and what is left when that fails."""

import os
import re

import insync_misago
import insync_postgresql
import insync_systemd
import pytest

# Commands of a release: what it does with the database that it is given, which is a file here.
ADMIN = """#!/bin/sh
case "$1" in
    migrate) echo {release} >> "{databases}/$MISAGO_DATABASE" ;;
    collectstatic) mkdir -m 0700 static/misago && ln -s ../../style.css static/misago/style.css ;;
esac
{then}
"""
PYTHON = "#!/bin/sh\n[ \"$1\" = -c ] && echo {release} >> '{folder}/cleared'\n"
DUMP = '#!/bin/sh\nfor word; do case $word in --file=*) cp "{databases}/misago" "${{word#--file=}}" ;; esac; done\n'
UNITS = ["misago", "misago-worker"]
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


class Postgresql:
    """Databases that are files in ``folder``; it takes the statements that are sent to psql."""

    def __init__(self, folder):
        self.folder, self.roles = folder, set()
        folder.mkdir()

    def sql(self, *statements):
        found = []
        for statement in statements:
            found += self.one(statement)
        return found

    def one(self, statement):
        if match := re.fullmatch(r"SELECT 1 FROM pg_database WHERE datname = '(\w+)'", statement):
            return ["1"] if self.path(match[1]).exists() else []
        if match := re.fullmatch(r"SELECT 1 FROM pg_roles WHERE rolname = '(\w+)'", statement):
            return ["1"] if match[1] in self.roles else []
        if match := re.fullmatch(r"CREATE ROLE (\w+) LOGIN", statement):
            self.roles.add(match[1])
        elif match := re.fullmatch(r"CREATE DATABASE (\w+) OWNER (\w+) TEMPLATE (\w+)(.*)", statement):
            assert match[2] in self.roles and not self.path(match[1]).exists()
            self.path(match[1]).write_text("" if match[4] else self.path(match[3]).read_text())
        elif match := re.fullmatch(r"DROP DATABASE IF EXISTS (\w+)", statement):
            self.path(match[1]).unlink(missing_ok=True)
        elif match := re.fullmatch(r"ALTER DATABASE (\w+) RENAME TO (\w+)", statement):
            assert not self.path(match[2]).exists()
            self.path(match[1]).rename(self.path(match[2]))
        else:
            assert statement in ("BEGIN", "COMMIT"), statement
        return []

    def path(self, name):
        return self.folder / name

    def all(self):
        """Return {name: the releases that have migrated it}."""
        return {path.name: path.read_text().split() for path in self.folder.iterdir()}


@pytest.fixture
def systemd(monkeypatch):
    systemd = Systemd()
    monkeypatch.setattr(insync_misago.insync_systemd, "state", systemd.state)
    monkeypatch.setattr(insync_misago.insync_systemd, "systemctl", systemd.systemctl)
    monkeypatch.setattr(
        insync_misago.insync_systemd, "enabled", lambda unit: "enabled" if unit in systemd.enabled else "disabled"
    )
    monkeypatch.setattr(insync_misago.insync_systemd, "last_words", lambda unit: "boom")
    monkeypatch.setattr(insync_misago.insync_systemd, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(insync_misago, "_as", lambda user, group: ["env"])
    return systemd


@pytest.fixture
def postgresql(tmp_path, monkeypatch):
    postgresql = Postgresql(tmp_path / "databases")
    monkeypatch.setattr(insync_postgresql, "sql", postgresql.sql)
    monkeypatch.setattr(insync_postgresql.shutil, "which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "pg_dump", DUMP.format(databases=postgresql.folder))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return postgresql


@pytest.fixture
def misago(tmp_path, systemd, postgresql):
    """One in service, of the release OLD."""
    (tmp_path / "data").mkdir()
    found = insync_misago.Misago(tmp_path / "data", tmp_path / "etc", "misago", "nobody", "nogroup")
    systemd.running = set()
    insync_misago.upgrade(found, release(tmp_path, OLD), tmp_path / "misago", UNITS)
    systemd.running, systemd.asked = set(UNITS), []
    return found


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def release(folder, name, then=""):
    """Make the virtualenv of a release; ``then`` is what its migration ends with."""
    home = folder / f"misago-{name}"
    script(home / "bin" / "django-admin", ADMIN.format(release=name, databases=folder / "databases", then=then))
    script(home / "bin" / "python", PYTHON.format(release=name, folder=folder))
    return home


def upgrade(misago, home):
    insync_misago.upgrade(misago, home, misago.data.parent / "misago", UNITS)


def in_service(misago):
    return os.readlink(misago.data.parent / "misago").rpartition("-")[2]


def backups(misago):
    return sorted(path.name for path in misago.data.glob("backups/*"))


def test_a_first_release_makes_the_database_and_no_backup(misago, postgresql):
    assert (postgresql.all(), in_service(misago), backups(misago)) == ({"misago": [OLD]}, OLD, [])


def test_an_upgrade_keeps_what_was_and_empties_the_cache(misago, systemd, postgresql, tmp_path):
    upgrade(misago, release(tmp_path, NEW))
    assert (in_service(misago), systemd.asked, systemd.running) == (NEW, ["stop", "start"], set(UNITS))
    assert postgresql.all() == {"misago": [OLD, NEW]}
    (backup,) = backups(misago)
    assert backup.endswith(f"-{OLD}.dump")
    assert (misago.data / "backups" / backup).read_text().split() == [OLD]
    assert (tmp_path / "cleared").read_text().split() == [OLD, NEW]


def test_a_migration_that_fails_leaves_the_old_release_serving(misago, systemd, postgresql, tmp_path):
    with pytest.raises(insync_misago.MisagoError, match="^no such table: x$"):
        upgrade(misago, release(tmp_path, NEW, "echo Traceback >&2; echo no such table: x >&2; exit 1"))
    assert (in_service(misago), systemd.asked, systemd.running) == (OLD, ["stop", "start"], set(UNITS))
    assert postgresql.all()["misago"] == [OLD]
    # What is left of it is in the way of no other.
    upgrade(misago, release(tmp_path, NEW))
    assert postgresql.all() == {"misago": [OLD, NEW]}


def test_a_release_that_does_not_start_goes_back_with_its_database(misago, systemd, postgresql, tmp_path):
    systemd.broken = 1
    with pytest.raises(insync_systemd.UnitError, match="it ended at once"):
        upgrade(misago, release(tmp_path, NEW))
    assert (in_service(misago), systemd.asked) == (OLD, ["stop", "start", "stop", "start"])
    assert systemd.running == set(UNITS)
    assert postgresql.all()["misago"] == [OLD]
    upgrade(misago, release(tmp_path, NEW))
    assert postgresql.all() == {"misago": [OLD, NEW]}


def test_a_unit_that_is_started_over_and_over_is_stopped_and_what_is_enabled_starts(misago, systemd, tmp_path):
    """Between two starts it is not active, but it comes back in the middle of the upgrade."""
    systemd.running, systemd.looping, systemd.enabled = set(), {UNITS[0]}, {UNITS[1]}
    upgrade(misago, release(tmp_path, NEW))
    assert (in_service(misago), systemd.asked, systemd.running) == (NEW, ["stop", "start"], set(UNITS))


def test_a_release_that_starts_and_ends_goes_back(misago, systemd, tmp_path, monkeypatch):
    """systemd calls its start a success."""

    def ends(verb, *units):
        systemd.systemctl(verb, *units)
        systemd.looping = {UNITS[0]} if verb == "start" and in_service(misago) == NEW else set()

    monkeypatch.setattr(insync_misago.insync_systemd, "systemctl", ends)
    with pytest.raises(insync_systemd.UnitError, match=f"^{UNITS[0]} ended at once; it said: boom$"):
        upgrade(misago, release(tmp_path, NEW))
    assert (in_service(misago), systemd.running, systemd.looping) == (OLD, set(UNITS), set())


def test_where_none_starts_both_reasons_are_told(misago, systemd, tmp_path):
    systemd.broken = 2
    with pytest.raises(insync_misago.MisagoError, match="^it ended at once; nor does the one before serve"):
        upgrade(misago, release(tmp_path, NEW))
    assert in_service(misago) == OLD


def test_what_does_not_run_is_not_started(misago, systemd, tmp_path):
    systemd.running = set()
    upgrade(misago, release(tmp_path, NEW))
    assert (in_service(misago), systemd.asked) == (NEW, [])


def test_a_database_without_a_release_is_taken_over(misago, postgresql, tmp_path):
    """As after the role has left, or a backup was brought back."""
    (tmp_path / "misago").unlink()
    upgrade(misago, release(tmp_path, NEW))
    assert (in_service(misago), postgresql.all()) == (NEW, {"misago": [OLD, NEW]})
    assert backups(misago)[0].endswith("-unknown.dump")


def test_the_newest_backups_stay(misago):
    folder = misago.data / "backups"
    folder.mkdir()
    for day, name in ((3, "c"), (1, "a"), (4, "d"), (2, "b"), (5, "d")):
        (folder / f"2026010{day}T000000Z-{name}.dump").touch()
    misago.prune()
    assert [name[7] for name in backups(misago)] == ["2", "3", "5"]


def test_an_upgrade_that_fails_every_time_leaves_one_backup(misago, tmp_path, monkeypatch):
    for second in range(4):
        monkeypatch.setattr(insync_misago.time, "strftime", lambda *_, second=second: f"20260101T00000{second}Z")
        with pytest.raises(insync_misago.MisagoError):
            upgrade(misago, release(tmp_path, NEW, "exit 1"))
    assert backups(misago) == [f"20260101T000003Z-{OLD}.dump"]


def test_a_backup_that_is_cut_off_is_none(misago, tmp_path):
    dump = tmp_path / "bin" / "pg_dump"
    whole = dump.read_text()
    script(dump, f"{whole}echo no space left >&2; exit 1\n")
    with pytest.raises(insync_misago.MisagoError, match="no space left"):
        upgrade(misago, release(tmp_path, NEW))
    assert [name.endswith(".part") for name in backups(misago)] == [True]
    script(dump, whole)
    upgrade(misago, release(tmp_path, NEW))
    assert [name.endswith(".dump") for name in backups(misago)] == [True]


def test_what_browsers_load_can_be_read_by_all_and_is_made_anew(misago, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(insync_misago.shutil, "chown", lambda path, user: given.append((path, user)))
    monkeypatch.setattr(insync_misago.os, "chown", lambda path, *ids, **_: given.append((path, *ids)))
    home = release(tmp_path, NEW)
    (home / "static" / "old").mkdir(parents=True)
    script(home / "bin" / "django-admin", f"cd {home} || exit\n{(home / 'bin' / 'django-admin').read_text()}")
    insync_misago.collect_static(misago, home)
    static = home / "static"
    assert sorted(path.name for path in static.rglob("*")) == ["misago", "style.css"]
    assert [oct(path.stat().st_mode)[-3:] for path in (static, static / "misago")] == ["755", "755"]
    assert given == [(static, "nobody"), *((path, 0, 0) for path in (static, *static.rglob("*")))]


def test_accounts_are_told_on_standard_input_only(misago, tmp_path):
    program = tmp_path / "program" / "bin" / "python"
    script(program, f'#!/bin/sh\necho "$*" > {tmp_path}/argv\necho noise\ncat\n')
    wanted = {"password": 'se\'cret "1" ü'}
    assert insync_misago.provision(misago, tmp_path / "program", "provision.py", wanted) == wanted
    assert (tmp_path / "argv").read_text(encoding="utf-8") == "provision.py\n"
    script(program, "#!/bin/sh\ncat >/dev/null\necho nothing\n")
    with pytest.raises(insync_misago.MisagoError, match="provision.py printed no JSON"):
        insync_misago.provision(misago, tmp_path / "program", "provision.py", wanted)


# psql itself.

PSQL = "#!/bin/sh\ncat > {folder}/told\n{then}\n"


@pytest.fixture
def psql(tmp_path, monkeypatch):
    """Let psql do what a test says, after it has written down what it reads."""
    monkeypatch.setenv("PATH", f"{tmp_path}/psql:{os.environ['PATH']}")

    def does(then):
        # What runs it as another user runs it as this one.
        script(tmp_path / "psql" / "setpriv", '#!/bin/sh\nwhile [ "$1" != psql ]; do shift; done\nexec "$@"\n')
        script(tmp_path / "psql" / "psql", PSQL.format(folder=tmp_path, then=then))

    return does


def test_statements_run_one_after_the_other(psql, tmp_path):
    psql("echo 1; echo two")
    assert insync_postgresql.sql("SELECT 1", "SELECT 'two'") == ["1", "two"]
    assert (tmp_path / "told").read_text() == "SELECT 1;\nSELECT 'two'"


@pytest.mark.parametrize(
    "said, message",
    [
        ('psql:<stdin>:1: ERROR:  database "x" is being accessed by other users\\nDETAIL: 1 other session', "accessed"),
        ('psql: error: connection to server on socket "/run/x" failed: No such file\\n\\tIs it running?', "connection"),
        ("killed", "^killed$"),
        ("", "no reason is told"),
    ],
)
def test_a_refusal_is_one_line(psql, said, message):
    psql(f"printf '{said}' >&2; exit 3")
    with pytest.raises(insync_postgresql.DatabaseError, match=message) as caught:
        insync_postgresql.sql("SELECT 1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("program", "cluster", "known"), [(None, False, True), (None, True, False), ("/usr/bin/psql", True, True)]
)
def test_a_cluster_without_its_program_is_not_taken_for_none(tmp_path, monkeypatch, program, cluster, known):
    monkeypatch.setattr(insync_postgresql, "CLUSTERS", tmp_path)
    monkeypatch.setattr(insync_postgresql, "sql", lambda statement: [])
    monkeypatch.setattr(insync_postgresql.shutil, "which", lambda name: program)
    if cluster:
        (tmp_path / "15" / "main").mkdir(parents=True)
        (tmp_path / "15" / "main" / "PG_VERSION").touch()
    if known:
        assert insync_postgresql.has("misago") is False
    else:
        with pytest.raises(insync_postgresql.DatabaseError, match="PostgreSQL is not installed"):
            insync_postgresql.has("misago")
