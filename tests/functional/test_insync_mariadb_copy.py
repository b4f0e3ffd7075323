"""A real MariaDB's databases are dumped, lost, and loaded again; what is there instead is moved aside, or stays."""

import functools

import insync_data_copy
import insync_data_place
import insync_mariadb
import insync_mariadb_copy
import pytest

from tests.functional.test_insync_mysql import socket, sql  # noqa: F401  fixtures

DATABASES = ["insync", "insync_mail"]
STAMP = "before_20261127t120000"
FILL = (
    "CREATE DATABASE insync",
    "CREATE DATABASE insync_mail",
    "CREATE TABLE insync.users (id INT PRIMARY KEY, name VARBINARY(9))",
    "INSERT INTO insync.users VALUES (1, 'a'), (2, x'00ff')",
    "CREATE TABLE insync_mail.sent (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES insync.users (id))",
    "INSERT INTO insync_mail.sent VALUES (2)",
)
USERS = "SELECT id, name FROM insync.users ORDER BY id"
THERE = ((1, b"a"), (2, b"\x00\xff"))


@pytest.fixture
def database(socket, sql, monkeypatch):  # noqa: F811
    """The server as its own tools find it, with these tables; afterwards without."""
    monkeypatch.setattr(insync_mariadb, "local", functools.partial(insync_mariadb.local, socket))
    monkeypatch.setattr(insync_mariadb, "SOCKET", socket)
    for statement in FILL:
        sql(statement)
    yield sql
    sql("SET FOREIGN_KEY_CHECKS = 0")
    for (name,) in sql("SHOW DATABASES LIKE 'insync%'"):
        sql(f"DROP DATABASE {name}")


@pytest.fixture
def copied(database, tmp_path):
    """What a backup has: its manifest and its folder."""
    folder = tmp_path / "copy"
    return insync_data_copy.copy({"mariadb": DATABASES}, folder), folder


def put(copied):
    found, folder = copied
    insync_data_place.check(found, folder, folder)
    return insync_data_place.put({**found, "users": {}, "groups": {}}, folder, folder, STAMP)


def test_what_was_lost_comes_back_where_nothing_is(database, copied):
    database("DROP TABLE insync_mail.sent", "DROP TABLE insync.users")
    assert insync_data_place.occupied(copied[0]) == []
    assert insync_data_place.targets(copied[0]) == ["mariadb:insync", "mariadb:insync_mail"]
    assert put(copied) == {}
    assert tuple(database(USERS)) == THERE


def test_what_is_there_is_moved_aside(database, copied):
    database("INSERT INTO insync.users VALUES (3, 'new')")
    assert insync_data_place.occupied(copied[0]) == ["mariadb:insync", "mariadb:insync_mail"]
    assert put(copied)["mariadb:insync"] == f"mariadb:insync_{STAMP}"
    assert tuple(database(USERS)) == THERE
    assert tuple(database(USERS.replace("insync.", f"insync_{STAMP}."))) == (*THERE, (3, b"new"))


def test_where_it_cannot_be_loaded_all_is_as_before(database, copied):
    found, folder = copied
    file = folder / found["mariadb"]["file"]
    file.write_text(file.read_text().replace("INSERT INTO `sent`", "INSERT INTO `nowhere`"))
    found["mariadb"]["sha256"] = insync_data_copy.sha256(file)
    database("INSERT INTO insync.users VALUES (3, 'new')")
    with pytest.raises(insync_mariadb.DatabaseError, match="mariadb: ERROR .*nowhere"):
        put((found, folder))
    assert tuple(database(USERS)) == (*THERE, (3, b"new"))
    assert [name for (name,) in database("SHOW DATABASES LIKE 'insync%'")] == DATABASES


def test_what_cannot_be_moved_aside_stays(database, copied):
    database("CREATE TRIGGER insync.t BEFORE INSERT ON insync.users FOR EACH ROW SET NEW.id = NEW.id")
    with pytest.raises(insync_mariadb.DatabaseError, match="[Tt]rigger"):
        put(copied)
    assert tuple(database(USERS)) == THERE
    assert [name for (name,) in database("SHOW DATABASES LIKE 'insync%'")] == DATABASES


def test_a_dump_that_is_cut_off_or_was_never_made_is_none(database, copied, tmp_path):
    (tmp_path / "cut").write_bytes((copied[1] / "mariadb.sql").read_bytes()[:-60])
    with pytest.raises(insync_mariadb.DatabaseError, match="cut: the dump is cut off"):
        insync_mariadb_copy.check(tmp_path / "cut")
    with pytest.raises(insync_mariadb.DatabaseError, match="mariadb-dump: .*Unknown database 'nosuch'"):
        insync_mariadb_copy.dump(["nosuch"], tmp_path / "dump")


def test_backups_of_before_name_no_mariadb(database, tmp_path):
    assert insync_data_place.occupied({"sqlite": [], "postgresql": {}, "redis": {}, "hg": {}, "files": []}) == []
