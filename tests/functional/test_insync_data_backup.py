"""What a service keeps goes into a repository, that of the real restic too, and comes back: the same, or not at all."""

import contextlib
import datetime
import json
import os
import pathlib
import sqlite3
import subprocess

import insync_data_backup as data
import insync_data_copy
import insync_data_place
import insync_data_retention as retention
import insync_postgresql
import insync_restic
import insync_systemd
import pytest

ROWS = [(number, f"page {number}") for number in range(500)]


class Journal:
    """Tells nobody."""

    def phase(self, *said):
        """As insync_journal's."""
        return contextlib.nullcontext()


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "FOLDER", tmp_path / "insync-backup")
    monkeypatch.setattr(data, "RECORD", tmp_path / "backups.json")
    monkeypatch.setattr(insync_restic, "CACHE", str(tmp_path / "cache"))


class Shelf:
    """A repository that keeps copies as they are: restic takes half a second of a processor to open one of its own."""

    host, address = "wiki", "a shelf"

    def __init__(self, folder):
        self.folder, self.there = folder, []

    def prepare(self):
        """As insync_restic.Repository's; so are the others."""

    def backup(self, paths, kind, exclude=()):
        """Copies of all ``paths``."""
        snapshot = f"{len(self.there):08}"
        for path in map(pathlib.Path, paths):
            target = self.folder / snapshot / str(path).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", path, target], check=True)
        for one in exclude:
            (self.folder / snapshot / one.lstrip("/")).unlink()
        now = datetime.datetime.now(datetime.UTC).isoformat()
        self.there.insert(0, {"id": snapshot, "kind": kind, "time": now, "paths": paths})
        return {"snapshot": snapshot, "bytes": 9999, "added": 9999}

    def snapshots(self, kind=""):
        """The newest first."""
        return [one for one in self.there if kind in ("", one["kind"])]

    def restore(self, snapshot, target):
        """Copies of the copies."""
        subprocess.run(["cp", "-a", "-T", self.folder / snapshot, target], check=True)


@pytest.fixture
def repository(tmp_path):
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def restic(tmp_path):
    """One of restic's own."""
    return insync_restic.Repository(str(tmp_path / "repository"), 'a "password" of $ours', host="wiki", patience=0)


@pytest.fixture
def wiki(tmp_path):
    """A database that somebody holds open, with its log beside it, and files."""
    home = tmp_path / "wiki"
    (home / "images").mkdir(parents=True)
    (home / "images" / "a.png").write_bytes(os.urandom(5000))
    (home / "images" / "b.png").symlink_to("a.png")
    (home / "images" / "left-out").write_text("cache")
    database = sqlite3.connect(home / "wiki.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT)")
    database.executemany("INSERT INTO page VALUES (?, ?)", ROWS)
    database.commit()
    (home / "wiki.sqlite").chmod(0o640)
    yield home
    database.close()


def how(home, **more):
    exclude = [str(home / "images" / "left-out")]
    return {"sqlite": [str(home / "wiki.sqlite")], "files": [str(home / "images")], "exclude": exclude, **more}


def seen(home):
    with contextlib.closing(sqlite3.connect(home / "wiki.sqlite")) as database:
        rows = database.execute("SELECT * FROM page").fetchall()
    images = home / "images"
    return rows, (images / "a.png").read_bytes(), os.readlink(images / "b.png"), (home / "wiki.sqlite").stat().st_mode


def restore(repository, home, snapshot="newest", **options):
    return data.restore(repository, "wiki", how(home), snapshot, Journal(), **{"test": False, **options})


@pytest.mark.parametrize("kept", ["restic", "repository"])
def test_what_was_lost_comes_back_the_same(request, kept, wiki, tmp_path):
    before, repository = seen(wiki), request.getfixturevalue(kept)
    assert data.counted(repository, {"wiki": {}}) == {"wiki": 0}
    made = data.backup(repository, {"wiki": how(wiki)}, Journal())["wiki"]
    assert made["bytes"] > 5000 and data.counted(repository, {"wiki": {}}) == {"wiki": 1}
    ((listed,),) = data.listed(repository, {"wiki": {}}, 5).values()
    assert listed["id"] == made["snapshot"] and listed["age_hours"] < 0.1
    assert json.loads((tmp_path / "backups.json").read_text())["wiki"]["snapshot"] == made["snapshot"]

    os.rename(wiki, tmp_path / "lost")
    plan = restore(repository, wiki, test=True)
    assert (plan["there"], plan["targets"]) == ([], [str(wiki / "images"), str(wiki / "wiki.sqlite")])
    assert not wiki.exists()
    done = restore(repository, wiki)
    assert (done["backup"], done["aside"]) == (made["snapshot"], {})
    assert seen(wiki) == before
    assert not (wiki / "images" / "left-out").exists()
    assert not [path for path in (tmp_path / "insync-backup").rglob("*") if path.is_file()], (
        "copies are not left behind"
    )


def test_data_that_is_there_is_never_replaced_but_moved_aside_when_it_is_said(repository, wiki):
    data.backup(repository, {"wiki": how(wiki)}, Journal())
    (wiki / "images" / "new.png").write_text("since then")
    with pytest.raises(data.DataError, match="there is data: .*/images, .*/wiki.sqlite; aside=True"):
        restore(repository, wiki)
    assert (wiki / "images" / "new.png").exists()
    done = restore(repository, wiki, aside=True)
    assert not (wiki / "images" / "new.png").exists()
    aside = pathlib.Path(done["aside"][str(wiki / "images")])
    assert (aside / "new.png").read_text() == "since then" and (aside / "left-out").exists()
    # The log of the former database goes with it.
    assert {f"{wiki}/wiki.sqlite", f"{wiki}/wiki.sqlite-wal"} <= done["aside"].keys()
    # What was moved aside is nobody's data any more.
    made = insync_data_copy.copy({"files": [f"{wiki}/*"]}, wiki.parent / "again")
    assert made["files"] == [f"{wiki}/images", f"{wiki}/wiki.sqlite"]


def test_where_it_cannot_be_put_in_place_everything_is_as_before(repository, wiki, monkeypatch):
    before = seen(wiki)
    data.backup(repository, {"wiki": how(wiki)}, Journal())
    move, moved = insync_data_place.shutil.move, []

    def fails_at_the_second(source, target):
        moved.append(target)
        if len(moved) == 2:
            raise OSError(28, "No space left on device")
        return move(source, target)

    monkeypatch.setattr(insync_data_place.shutil, "move", fails_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        restore(repository, wiki, aside=True)
    assert seen(wiki) == before and (wiki / "images" / "left-out").exists()
    assert sorted(path.name for path in wiki.iterdir() if "before" in path.name) == []


def test_units_are_stopped_while_data_is_exchanged_and_started_however_it_ends(repository, wiki, monkeypatch):
    said = []
    monkeypatch.setattr(insync_systemd, "not_at_rest", lambda pattern: {pattern: "active"} if "runs" in pattern else {})
    monkeypatch.setattr(insync_systemd, "systemctl", lambda verb, *units: said.append((verb, *units)))
    declared = how(wiki, units=["runs.service", "rests.service"])
    data.backup(repository, {"wiki": declared}, Journal())
    assert said == []
    with pytest.raises(data.DataError):
        data.restore(repository, "wiki", declared, "newest", Journal(), test=False)
    assert said == [], "nothing was stopped for what is refused"
    monkeypatch.setattr(insync_data_place, "put", lambda *told: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        data.restore(repository, "wiki", declared, "newest", Journal(), aside=True, test=False)
    assert said == [("stop", "runs.service"), ("start", "runs.service")]


def test_a_kind_that_fails_is_named_and_keeps_no_other_from_its_turn(repository, wiki, tmp_path):
    there = {"lost": {"files": [str(tmp_path / "nowhere")]}, "wiki": how(wiki)}
    with pytest.raises(data.DataError, match=r"lost: .*/nowhere: it is declared .* not there \(good: wiki\)"):
        data.backup(repository, there, Journal())
    assert data.counted(repository, there) == {"lost": 0, "wiki": 1}
    assert list(json.loads((tmp_path / "backups.json").read_text())) == ["wiki"]


def test_a_damaged_database_is_no_backup(repository, wiki):
    file = wiki / "damaged.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT)")
        database.executemany("INSERT INTO page VALUES (?, ?)", ROWS)
        database.commit()
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * 4096)
    with pytest.raises(data.DataError, match="damaged.sqlite: "):
        data.backup(repository, {"wiki": {"sqlite": [str(file)]}}, Journal())
    assert repository.snapshots() == []


def test_a_repository_that_is_damaged_or_of_another_password_restores_nothing(restic, wiki, tmp_path):
    data.backup(restic, {"wiki": how(wiki)}, Journal())
    other = insync_restic.Repository(str(tmp_path / "repository"), "wrong", host="wiki", patience=0)
    with pytest.raises(insync_restic.ResticError, match="wrong password"):
        data.backup(other, {"wiki": how(wiki)}, Journal())
    os.rename(wiki, tmp_path / "lost")
    for pack in (tmp_path / "repository" / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            with pack.open("r+b") as file:
                file.seek(pack.stat().st_size // 2)
                file.write(b"0123456789abcdef")
    with pytest.raises(insync_restic.ResticError):
        restore(restic, wiki)
    assert not wiki.exists()


def test_what_is_not_there_is_said(repository, wiki, tmp_path):
    with pytest.raises(data.DataError, match="there is no backup of wiki in"):
        restore(repository, wiki)
    data.backup(repository, {"wiki": how(wiki)}, Journal())
    with pytest.raises(data.DataError, match="backup=12345678: there is none of wiki with that id"):
        restore(repository, wiki, snapshot="12345678")
    with pytest.raises(data.DataError, match="kind=wika: there is data, wiki, physical"):
        data.chosen({"wiki": {}}, "wika", ("physical",))
    with pytest.raises(data.DataError, match="kind=data: there is wiki; they come back one by one"):
        data.one_of({"wiki": {}}, "data")
    with pytest.raises(data.DataError, match="no data to back up"):
        data.of_server({"backup": {"web": {"none": "it keeps nothing"}}, "backup_kinds": []}, "web02")


def test_the_password_is_on_no_command_line(restic, monkeypatch):
    commands = []

    def run(command, **options):
        commands.append((command, options["env"]))
        return subprocess.CompletedProcess(command, 0, b"[]", b"")

    monkeypatch.setattr(insync_restic.subprocess, "run", run)
    restic.snapshots()
    ((command, environment),) = commands
    assert environment["RESTIC_PASSWORD"] == 'a "password" of $ours'
    assert not any("of $ours" in word for word in command)


@pytest.mark.parametrize(
    "said, problem",
    [
        (
            "unable to create lock in backend: repository is already locked by PID 9",
            "restic snapshots: unable to create",
        ),
        ("Fatal: unable to open config file: Stat: Access Denied.", "restic snapshots: Fatal: .* Access Denied"),
        ("", "restic snapshots: exit code 1"),
    ],
)
def test_why_it_is_refused_is_told_and_a_lock_is_waited_for(restic, monkeypatch, said, problem):
    asked = []

    def run(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess([], 1, b"", said.encode())

    monkeypatch.setattr(insync_restic, "_PAUSE", 0.01)
    monkeypatch.setattr(insync_restic.subprocess, "run", run)
    restic.patience = 0.1
    with pytest.raises(insync_restic.ResticError, match=problem):
        restic.snapshots()
    assert (len(asked) > 2) is ("locked" in said)


@pytest.mark.parametrize("said", ["Is there a repository at the following location?", "unable to open config file: x"])
def test_before_the_first_backup_there_is_none(restic, monkeypatch, said):
    refusal = subprocess.CompletedProcess([], 1, b"", f"Fatal: {said}".encode())
    monkeypatch.setattr(insync_restic.subprocess, "run", lambda command, **options: refusal)
    assert restic.snapshots() == []


KEEP = {"daily": 1, "weekly": 1, "monthly": 1}


def test_old_ones_go_the_newest_of_each_kind_stays_and_nothing_goes_of_what_is_not_whole(restic, wiki, tmp_path):
    there = {"wiki": how(wiki), "images": {"files": [str(wiki / "images")]}}
    data.backup(restic, there, Journal())
    newest = data.backup(restic, there, Journal())
    with pytest.raises(retention.RetentionError, match="the newest backup of its data is .* old: nothing is removed"):
        retention.one(restic, KEEP, -1, test=False)
    going = retention.one(restic, KEEP, 26)
    assert {one["kind"] for one in going} == {"wiki", "images"} and len(going) == 2
    assert data.counted(restic, there) == {"wiki": 2, "images": 2}, "it was only told"
    assert retention.one(restic, KEEP, 26, test=False) == going
    left = {one["kind"]: one["id"] for one in restic.snapshots()}
    assert left == {kind: made["snapshot"] for kind, made in newest.items()}
    # The largest holds files. For one that holds folders restic asks again and again, for minutes.
    packs = (path for path in (tmp_path / "repository" / "data").rglob("*") if path.is_file())
    max(packs, key=lambda path: path.stat().st_size).unlink()
    with pytest.raises(insync_restic.ResticError, match="restic check"):
        retention.one(restic, KEEP, 26, test=False)


def test_all_servers_have_their_turn(repository, wiki, tmp_path, monkeypatch):
    data.backup(repository, {"wiki": how(wiki)}, Journal())
    keys = {"access_key": "a", "secret_key": "b"}
    pillar = {
        "backup_store": {"bucket": "insync_backups", "endpoint": "", "region": "here"},
        "backup_retention": {"store": keys, "keep": KEEP, "hours": 26},
        "secrets": {"backup_passwords": {"broken": "wrong", "wiki": "right", "new": "x"}},
    }

    def refuses():
        raise insync_restic.ResticError("restic snapshots: Fatal: wrong password")

    broken = Shelf(tmp_path / "broken")
    broken.snapshots, repository.forget = refuses, lambda keep, test: []
    made = {"wiki": repository, "new": Shelf(tmp_path / "new"), "broken": broken}
    monkeypatch.setattr(data, "repository", lambda where, server, *told: made[server])
    removed, failed = retention.prune(pillar, Journal())
    assert removed == {"wiki": [], "new": "there is no backup of its data yet"}
    assert failed == ["broken: restic snapshots: Fatal: wrong password"]


def test_the_owners_are_known_by_their_names_on_another_server(wiki, monkeypatch):
    owned = []
    monkeypatch.setattr(insync_data_copy.pwd, "getpwnam", lambda name: {"www": type("", (), {"pw_uid": 777})}[name])
    monkeypatch.setattr(insync_data_copy.os, "lchown", lambda path, uid, gid: owned.append((path, uid)))
    number = str(os.stat(wiki / "images").st_uid)
    insync_data_copy.own(wiki / "images", {number: "www"}, {})
    assert {uid for _, uid in owned} == {777} and len(owned) == 4
    with pytest.raises(insync_data_copy.CopyError, match="this server does not know its owner, .*nobody-here"):
        insync_data_copy.own(wiki / "images", {number: "nobody-here"}, {})


def redis(folder, manifest="file appendonly.aof.1.base.rdb seq 1 type b\n"):
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text(manifest)
    (folder / "appendonlydir" / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS0010")


@pytest.fixture
def checks(monkeypatch):
    """redis-check-aof, which is not installed everywhere: what it is asked, and what it says."""
    asked, run = [], insync_data_copy.subprocess.run

    def check(command, **options):
        if command[0] != "redis-check-aof":
            return run(command, **options)
        asked.append(command[1:])
        file = pathlib.Path(command[-1])
        text = file.read_text()
        file.write_text(text.replace("cut\n", "") if "--fix" in command else text)
        bad = "broken" in text or ("cut" in text and "--fix" not in command)
        wrong = "AOF appendonly.aof format error" if "broken" in text else "0x e71: Expected to read 10 bytes, got 7"
        said = f"Start to check\n{wrong}\nAOF analyzed: diff=36\nAOF is not valid. Use the --fix option.\n"
        return subprocess.CompletedProcess(command, int(bad), said.encode() if bad else b"all is valid\n", b"")

    monkeypatch.setattr(insync_data_copy.subprocess, "run", check)
    return asked


def test_the_append_only_file_of_redis_comes_back(repository, tmp_path, checks):
    redis(tmp_path / "main")
    declared = {"redis": str(tmp_path / "main")}
    data.backup(repository, {"redis": declared}, Journal())
    assert len(checks) == 1 and str(tmp_path / "insync-backup") in checks[0][-1]
    with pytest.raises(data.DataError, match="there is data: .*/main/appendonlydir"):
        data.restore(repository, "redis", declared, "newest", Journal(), test=False)
    os.rename(tmp_path / "main", tmp_path / "lost")
    data.restore(repository, "redis", declared, "newest", Journal(), test=False)
    same = [(path.name, path.read_bytes()) for path in sorted((tmp_path / "main" / "appendonlydir").iterdir())]
    assert same == [(path.name, path.read_bytes()) for path in sorted((tmp_path / "lost" / "appendonlydir").iterdir())]
    assert not any("--fix" in asked for asked in checks)


def test_of_half_a_command_at_its_end_the_copy_has_none(tmp_path, checks):
    redis(tmp_path / "main", "file appendonly.aof.1.base.rdb seq 1 type b\ncut\n")
    insync_data_copy.copy({"redis": str(tmp_path / "main")}, tmp_path / "copy")
    assert [asked[0] == "--fix" for asked in checks] == [False, True]
    assert "cut" not in (tmp_path / "copy" / "redis" / "appendonly.aof.manifest").read_text()
    assert "cut" in (tmp_path / "main" / "appendonlydir" / "appendonly.aof.manifest").read_text()


def test_redis_that_begins_its_file_anew_is_copied_again(tmp_path, checks, monkeypatch):
    redis(tmp_path / "main")
    copied, tries = insync_data_copy._copied_tree, []

    def rewritten_meanwhile(source, target):
        copied(source, target)
        tries.append(1)
        if len(tries) == 1:
            (source / "appendonly.aof.manifest").write_text("file appendonly.aof.2.base.rdb seq 2 type b\n")

    monkeypatch.setattr(insync_data_copy, "_copied_tree", rewritten_meanwhile)
    found = insync_data_copy.copy({"redis": str(tmp_path / "main")}, tmp_path / "copy")
    assert len(tries) == 2 and "appendonly.aof.manifest" in found["redis"]["files"]
    assert "seq 2" in (tmp_path / "copy" / "redis" / "appendonly.aof.manifest").read_text()


def test_a_broken_append_only_file_and_one_that_is_not_there_are_no_backup(repository, tmp_path, checks):
    redis(tmp_path / "main", "broken\n")
    with pytest.raises(data.DataError, match="redis: .*/appendonlydir: AOF appendonly.aof format error; AOF analyzed"):
        data.backup(repository, {"redis": {"redis": str(tmp_path / "main")}}, Journal())
    with pytest.raises(data.DataError, match="redis has no append-only file there"):
        data.backup(repository, {"redis": {"redis": str(tmp_path / "cache")}}, Journal())
    assert repository.snapshots() == [] and not any("--fix" in asked for asked in checks)


def test_a_database_of_postgresql_is_made_beside_the_one_that_is_there(repository, tmp_path, monkeypatch):
    there, ran = {"misago": "misago"}, []
    monkeypatch.setattr(insync_postgresql, "has", lambda name: name in there)
    monkeypatch.setattr(insync_postgresql, "sql", lambda *statements: ["misago"])
    monkeypatch.setattr(insync_postgresql, "make", lambda name, owner: there.update({name: owner}))
    monkeypatch.setattr(insync_postgresql, "rename", lambda *pairs: [there.update({b: there.pop(a)}) for a, b in pairs])

    def run(command, user="", stdout=None, stdin=None, **_):
        ran.append(command[0])
        if command[0] == "pg_dump":
            stdout.write(b"PGDMP")
        if command[0] == "pg_restore" and stdin:
            assert stdin.read() == b"PGDMP"
        return b"3\n"

    monkeypatch.setattr(insync_data_copy, "run", run)
    declared = {"postgresql": "misago"}
    data.backup(repository, {"forum": declared}, Journal())
    with pytest.raises(data.DataError, match="there is data: postgresql:misago"):
        data.restore(repository, "forum", declared, "newest", Journal(), test=False)
    done = data.restore(repository, "forum", declared, "newest", Journal(), aside=True, test=False)
    ((former, aside),) = done["aside"].items()
    assert former == "postgresql:misago" and set(there) == {"misago", aside.removeprefix("postgresql:")}
    assert ran.count("pg_dump") == 1
