"""What the survey finds of databases and large folders, and how far it looks for them."""

import pathlib
import shutil
import subprocess

import insync_survey_daemons
import insync_survey_system
import pytest

from tests.unit.survey_server import sqlite

CLUSTER = "/var/lib/postgresql/15/main"


def postgresql(root, running):
    """A cluster with much in it, and a function that answers as psql does."""
    root.package("postgresql-common", ["/var/lib", "/var/lib/postgresql"])
    root.write(f"{CLUSTER}/PG_VERSION", "15\n")
    with root.write(f"{CLUSTER}/base").open("wb") as file:
        file.truncate(150_000_000)
    if running:
        root.write(f"{CLUSTER}/postmaster.pid", f"1\n{CLUSTER}\n2\n5433\n/run/pg\n\n")


@pytest.mark.parametrize(
    "running, answer, unknown",
    [
        (True, "postgres\t9\nshop\t2000\n", ["database shop of postgresql, 2 kB"]),
        (True, None, ["folder /var/lib/postgresql: 150 MB"]),
        (False, None, ["folder /var/lib/postgresql: 150 MB"]),
    ],
)
def test_a_postgresql_that_does_not_answer_is_told(root, monkeypatch, running, answer, unknown):
    postgresql(root, running)
    asked = []
    monkeypatch.setattr(
        insync_survey_system.System, "_answer", lambda _, command, seconds: asked.append(command) or answer
    )
    found = root.survey()
    assert found["unknown"] == unknown
    assert found["incomplete"] == ([] if answer else [f"databases of postgresql in {CLUSTER}: no answer"])
    assert any("5433" in command and "/run/pg" in command for command in asked) == running
    # Without it psql would do what a file in the home of postgres says.
    assert all("-X" in command for command in asked if "psql" in command)


@pytest.mark.parametrize(
    "folder, file, told",
    [
        ("/var/lib/mysql", "mysql/x.ibd", []),
        ("/var/lib/mysql", "dump", ["folder /var/lib/mysql: 150 MB"]),
        ("/var/lib/redis", "main/appendonly.aof", []),
        ("/var/lib/redis", "main/other", ["folder /var/lib/redis: 150 MB"]),
    ],
)
def test_a_large_folder_of_a_database_is_known_if_databases_are_found_there(root, folder, file, told):
    root.package("server", ["/var/lib", folder])
    with root.write(f"{folder}/{file}").open("wb") as opened:
        opened.truncate(150_000_000)
    assert root.survey()["unknown"] == told


def test_links_are_not_followed(root, tmp_path):
    root.link("/srv/out", str(tmp_path))
    assert [entry.name for entry in insync_survey_system.System(root.path).walk(["/srv"])] == ["out"]


def test_the_files_of_one_folder_hide_nothing_in_another(root, monkeypatch):
    monkeypatch.setattr(insync_survey_system, "FILES", 10)
    for number in range(50):
        root.write(f"/home/a/{number}")
    sqlite(root, "/srv/lists.db")
    found = root.survey()
    assert [row["path"] for row in found["found"]["databases"]] == ["/srv/lists.db"]
    assert found["incomplete"] == ["/home: too many files"]


def test_who_has_no_time_left_is_told(root, monkeypatch):
    monkeypatch.setattr(insync_survey_system, "SECONDS", 0)
    for name in ("/home/a", "/srv/b", "/var/lib/c"):
        root.write(name)
    assert root.survey()["incomplete"] == [f"{top}: too many files" for top in ("/home", "/srv", "/var/lib", "/etc")]


FOLDERS = [
    "/app",
    "/data",
    "/mnt/volume",
    "/library",
    "/var/spool/x",
    "/var/backups",
    "/usr/local/x",
    "/.hidden",
    "/nonexistent",
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_data_is_found_in_every_folder_that_is_not_the_systems(root, folder):
    root.package("base-files", ["/srv", "/var/backups", "/var/spool"])
    sqlite(root, f"{folder}/lists.db")
    with root.write(f"{folder}/blob").open("wb") as file:
        file.truncate(150_000_000)
    found = root.survey()
    assert [row["path"] for row in found["found"]["databases"]] == [f"{folder}/lists.db"]
    assert [row["path"] for row in found["found"]["folders"]] == [folder] and found["incomplete"] == []


@pytest.mark.parametrize(
    "folder", ["/usr/share", "/lib64", "/tmp", "/nonexistent/.rpmdb", "/var/log", "/var/cache/x", "/etc", "/boot"]
)
def test_what_is_the_systems_own_is_not_looked_at(root, folder):
    sqlite(root, f"{folder}/lists.db")
    assert root.survey()["unknown"] == []


def test_other_disks_are_looked_at_and_other_servers_are_told(root):
    kinds = {"/mnt/one": "ext4", "/mnt/a b": "xfs", "/data": "btrfs", "/far": "nfs4", "/mnt/cloud": "fuse.sshfs"}
    # As in a container, and of one in it.
    quiet = {"/": "overlay", "/srv/all": "overlay", "/proc": "proc", "/etc/hosts": "ext4", "/run": "tmpfs"}
    lines = [f"x {place.replace(' ', chr(92) + '040')} {kind} rw 0 0" for place, kind in (kinds | quiet).items()]
    root.write("/proc/mounts", "\n".join(lines))
    for place in (*kinds, "/srv/all"):
        sqlite(root, f"{place}/lists.db")
    found = root.survey()
    assert sorted(row["path"] for row in found["found"]["databases"]) == [
        "/data/lists.db",
        "/mnt/a b/lists.db",
        "/mnt/one/lists.db",
    ]
    assert found["incomplete"] == ["/far: a nfs4, not looked at", "/mnt/cloud: a fuse.sshfs, not looked at"]


@pytest.mark.parametrize(
    "target, told",
    [("etc/own", ["/data: a link to /etc/own, not looked at"]), ("/srv/own", []), ("nowhere", []), ("data", [])],
)
def test_a_link_that_leads_out_of_what_is_looked_at_is_told(root, target, told):
    sqlite(root, "/etc/own/lists.db")
    sqlite(root, "/srv/own/lists.db")
    root.link("/data", target)
    found = root.survey()
    assert found["incomplete"] == told
    assert [row["path"] for row in found["found"]["databases"]] == ["/srv/own/lists.db"]


def test_data_beside_a_virtualenv_is_found(root):
    root.write("/srv/app/pyvenv.cfg")
    for name in ("lists.db", "lib/python3.11/x.db", "var/x.db"):
        sqlite(root, f"/srv/app/{name}")
    found = root.survey()["found"]["databases"]
    assert sorted(row["path"] for row in found) == ["/srv/app/lists.db", "/srv/app/var/x.db"]


def found_by(root, **plan):
    """The databases that a survey tells: {(engine, name): path}, and its other lines."""
    survey = root.survey(**plan)
    rows = {(row["engine"], row["name"]): row["path"] for row in survey["found"]["databases"]}
    assert len(rows) == len(survey["found"]["databases"])
    return rows, survey["unknown"], survey["incomplete"]


@pytest.mark.parametrize("mark", ["ibdata1", "mysql/user.frm", "mysql/global_priv.MAD", "settings"])
def test_a_mariadb_is_found_wherever_it_keeps_its_data(root, mark):
    root.write("/srv/mysql/mysql/x.ibd")
    if mark == "settings":
        root.write("/etc/mysql/mariadb.conf.d/99-own.cnf", "[mysqld]\n# datadir=/srv/S3CRET\ndatadir = '/srv/mysql/'\n")
    else:
        root.write(f"/srv/mysql/{mark}")
    root.write("/srv/mysql/sendy@002dlists/x.ibd", "x" * 1000)
    root.write("/srv/mysql/shop/x.ibd")
    with root.write("/srv/mysql/log").open("wb") as file:
        file.truncate(150_000_000)
    places = {("mysql", "sendy-lists"): "/srv/mysql/sendy@002dlists", ("mysql", "shop"): "/srv/mysql/shop"}
    told = ["database sendy-lists of mysql, 1 kB, /srv/mysql/sendy@002dlists"]
    assert found_by(root, databases=["shop"]) == (places, told, [])


def test_settings_that_name_no_data_make_no_database(root):
    root.write("/etc/my.cnf", "datadir=/srv/other\n")
    root.write("/srv/other/folder/x")
    root.write("/srv/app/mysql/query.py")
    assert found_by(root) == ({}, [], [])


def test_a_redis_is_found_wherever_it_keeps_its_data(root):
    for name, text in {"redis/dump.rdb": "REDIS0009", "own": "REDIS0009" + "x" * 600, "log/a.aof": "*2"}.items():
        root.write(f"/srv/{name}", text)
    for name in ("appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"):
        root.write(f"/data/appendonlydir/{name}", "REDIS0" * 200)
    names = ["/data/appendonlydir", "/srv/log/a.aof", "/srv/own", "/srv/redis/dump.rdb"]
    rows, unknown, incomplete = found_by(root)
    assert sorted(rows.values()) == names and incomplete == []
    assert sorted(line.rpartition(" ")[2] for line in unknown) == names
    assert {engine for engine, _ in rows} == {"redis"}
    assert found_by(root, places=["/data/appendonlydir", "/srv/redis", "/srv/log", "/srv/own"])[1] == []


def test_a_postgresql_elsewhere_is_asked_if_its_user_made_it(root, monkeypatch):
    asked = []
    monkeypatch.setattr(
        insync_survey_system.System, "_answer", lambda _, command, seconds: asked.append(command[0]) or None
    )
    for name in ("PG_VERSION", "base/5/PG_VERSION", "pg_tblspc/1/PG_15_202209061/5/PG_VERSION"):
        root.write(f"/srv/pg/15/{name}", "15\n")
    root.write("/srv/pg/15/postmaster.pid", "1\n/srv/pg/15\n2\n5433\nevil.example\n")
    assert root.survey()["incomplete"] == ["databases of postgresql in /srv/pg/15: no answer"]
    assert asked == ["false"]
    monkeypatch.setattr(pathlib.Path, "owner", lambda _: "postgres")
    root.survey()
    assert asked[1:] == ["runuser"]


def test_databases_that_run_are_looked_for_where_they_work(tmp_path, monkeypatch):
    program = shutil.copy(shutil.which("sleep"), tmp_path / "redis-server")
    with subprocess.Popen([program, "60"], cwd=tmp_path) as process:
        try:
            found = insync_survey_daemons.folders(insync_survey_system.System())
            assert str(tmp_path) in found["redis"] and str(tmp_path) not in found["mysql"]
            system = insync_survey_system.System()
            monkeypatch.setattr(insync_survey_daemons.os.path, "samefile", lambda *_: False)
            assert str(tmp_path) not in insync_survey_daemons.folders(system)["redis"]
            told = "databases of redis: one that runs keeps them where the survey does not see them"
            assert told in system.cut_short
        finally:
            process.kill()


def test_virtualenvs_of_old_and_what_is_installed_in_them_are_found(root):
    root.write("/srv/old/bin/activate")
    for name in ("Flask-0.12.2-py2.7.egg-info/PKG-INFO", "wsgiref-0.1.2.egg-info", "tracker.egg-link", "flask/app.py"):
        root.write(f"/srv/old/lib/python2.7/site-packages/{name}")
    root.write("/srv/old/lib/python2.7/site-packages/six-1.4.0-py2.7.egg/six.py")
    sqlite(root, "/srv/old/lib/python2.7/x.db")
    # Only called so.
    root.write("/srv/other/bin/activate")
    found = root.survey()
    assert found["found"]["virtualenvs"] == [
        {"path": "/srv/old", "packages": ["Flask==0.12.2", "six==1.4.0", "tracker", "wsgiref==0.1.2"], "by": ""}
    ]
    assert found["unknown"] == ["virtualenv /srv/old: 4 packages"]
