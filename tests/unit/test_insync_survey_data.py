"""What the survey finds of databases and large folders, and how far it looks for them."""

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
