"""Parts of a pair of databases as states, on a real MariaDB that is one of none."""

import datetime
import json
import pathlib

import insync_mariadb
import insync_systemd
import pytest

from tests.functional.private import private_world
from tests.functional.test_insync_mysql import socket, sql  # noqa: F401  fixtures

REPLICA = {"source": "db.example", "port": 3306, "user": "replica", "key": "db:replica", "ca": "/ca.crt"}


@pytest.fixture
def server(sql, monkeypatch, tmp_path):  # noqa: F811
    """A server that is closed, as each comes up, and that nobody opens by himself."""
    monkeypatch.setattr(insync_mariadb, "FENCE", tmp_path / "fenced")
    monkeypatch.setattr(insync_systemd, "state", lambda unit: {"active": "inactive"})
    sql("SET GLOBAL read_only = ON")
    yield sql
    sql("SET GLOBAL read_only = OFF")


def closed(sql):  # noqa: F811
    return sql("SELECT @@GLOBAL.read_only")[0][0] == 1


def test_the_primary_is_opened(single, socket, server, testmode):  # noqa: F811
    result = single("insync_db.writable", test=testmode, name=socket)
    assert result["result"] is (None if testmode else True)
    assert result["changes"] == {"read_only": {"old": True, "new": False}}
    assert closed(server) is testmode
    assert single("insync_db.writable", name=socket)["changes"] == (result["changes"] if testmode else {})


@private_world
def test_of_one_that_does_not_run_test_mode_tells_only_what_is_known(single, tmp_path):
    for data in (False, True):
        result = single("insync_db.writable", test=True, name=str(tmp_path / "none"))
        assert (result["result"], bool(result["changes"])) == (None, not data)
        assert "MariaDB does not run" in result["comment"]
        pathlib.Path("/var/lib/mysql/mysql").mkdir(parents=True, exist_ok=True)


def test_one_that_opens_by_itself_is_waited_for(single, socket, server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        insync_systemd, "state", lambda unit: server("SET GLOBAL read_only = OFF") or {"active": "active"}
    )
    result = single("insync_db.writable", name=socket)
    assert (result["result"], result["changes"], closed(server)) == (True, {}, False)


def test_a_fenced_server_stays_closed(single, socket, server, tmp_path, testmode):  # noqa: F811
    (tmp_path / "fenced").touch()
    result = single("insync_db.writable", test=testmode, name=socket)
    assert (result["result"], result["changes"], closed(server)) == (False, {}, True)
    assert result["comment"].startswith("it is fenced")


def test_an_open_server_is_made_nobodys_replica(single, socket, server, tmp_path, testmode):  # noqa: F811
    (tmp_path / ".insync-seed.json").write_text('{"gtid": "0-1-1"}')
    server("SET GLOBAL read_only = OFF")
    arguments = {"name": socket, "data": str(tmp_path), "databases": [], **REPLICA}
    result = single("insync_db.replica_of", test=testmode, **arguments)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith("it is open for writes, and no replica of db.example")
    assert server("SHOW SLAVE STATUS") == []


def test_data_with_a_marker_is_never_touched(single, tmp_path, testmode):
    (tmp_path / ".insync-seed.json").write_text('{"gtid": "0-1-1"}')
    arguments = {"socket": "/nosuch", "donor_port": 1, **REPLICA}
    result = single("insync_db.seeded", test=testmode, name=str(tmp_path), **arguments)
    assert (result["result"], result["changes"]) == (True, {})


def test_data_whose_server_does_not_run_is_left_alone(single, tmp_path, testmode):
    (tmp_path / "ibdata1").write_text("precious")
    arguments = {"socket": str(tmp_path / "none"), "donor_port": 1, **REPLICA}
    result = single("insync_db.seeded", test=testmode, name=str(tmp_path), **arguments)
    assert (result["result"], result["changes"]) == (False, {})
    assert "there is data that nobody has marked" in result["comment"]
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("served", "cache")] == ["ibdata1"]


def test_a_blank_one_is_foretold_without_asking_anybody(single, tmp_path):
    arguments = {"socket": str(tmp_path / "none"), "donor_port": 1, **REPLICA}
    result = single("insync_db.seeded", test=True, name=str(tmp_path / "mysql"), **arguments)
    assert (result["result"], result["changes"]) == (None, {str(tmp_path / "mysql"): "a copy of db.example"})


def test_of_a_replica_that_does_not_run_test_mode_foretells_nothing(single, tmp_path, testmode):
    (tmp_path / ".insync-seed.json").write_text('{"gtid": "0-1-1"}')
    arguments = {"name": str(tmp_path / "none"), "data": str(tmp_path), "databases": [], **REPLICA}
    result = single("insync_db.replica_of", test=testmode, **arguments)
    assert (result["result"], result["changes"]) == (None if testmode else False, {})


def test_old_backups_are_red_in_every_run(single, tmp_path, testmode):
    file = tmp_path / "backups.json"
    told = {"name": str(file), "hours": {"physical": 26}}
    assert single("insync_backup.fresh", test=testmode, **told)["result"] is True
    assert file.exists() is not testmode
    old = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=30)).strftime("%Y-%m-%dT%H%M%SZ")
    file.write_text(json.dumps({"physical": {"id": old}}))
    result = single("insync_backup.fresh", test=testmode, **told)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith("physical: the last good one was 30.0 h ago, and 26 h are allowed")
