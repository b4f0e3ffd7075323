"""The steps of a switch on one server, and how it starts after a crash."""

import json
import runpy

import insync_db_part
import insync_db_salvage
import insync_gtid
import insync_mariadb
import insync_pipe
import pytest
from insync_mariadb import DatabaseError

from lab.paths import ROOT
from tests.unit.test_insync_db import RUNNING, Server

PROGRAM = runpy.run_path(str(ROOT / "salt" / "mariadb" / "files" / "role"))
ROLE = "# Managed by Salt\n[mariadbd]\ninit_rpl_role = MASTER\n"


@pytest.fixture(autouse=True)
def fence(monkeypatch, tmp_path):
    monkeypatch.setattr(insync_mariadb, "FENCE", tmp_path / "db" / "fenced")
    return insync_mariadb.FENCE


class Replica(Server):
    """A replica that has received up to some position."""

    def __init__(self, slave=None, waited=0, **variables):
        super().__init__(slave, gtid_slave_pos="0-17-99", **variables)
        self.waited = waited

    def value(self, statement):
        self.told.append(statement)
        return self.waited


RECEIVED = {**RUNNING, "Gtid_IO_Pos": "0-17-100"}


def test_a_fence_is_put_up_and_taken_down_once(fence):
    insync_db_part.fence("why")
    insync_db_part.fence("why")
    assert fence.read_text() == "why\n"
    assert (insync_db_part.unfence(), insync_db_part.unfence()) == (True, False)


def test_what_was_received_is_applied_before_anything_else():
    server = Replica(RECEIVED)
    assert insync_db_part.received(server, 5) == "0-17-100"
    assert server.told == ["STOP SLAVE IO_THREAD", "SELECT MASTER_GTID_WAIT('0-17-100', 5.0)"]


def test_an_applier_that_stands_still_goes_on_while_the_log_is_there():
    server = Replica({**RECEIVED, "Slave_SQL_Running": "No"})
    insync_db_part.received(server, 5)
    assert server.told[:2] == ["START SLAVE SQL_THREAD", "STOP SLAVE IO_THREAD"]


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Replica(), "it is nobody's replica"),
        (Replica({**RECEIVED, "Slave_SQL_Running": "No", "Slave_IO_Running": "No"}), "stopped as a whole"),
        (Replica({**RECEIVED, "Slave_SQL_Running": "No", "Last_SQL_Errno": 1950, "Last_SQL_Error": "x"}), "diverged"),
    ],
)
def test_one_that_may_lack_something_is_not_even_stopped(server, said):
    with pytest.raises(DatabaseError, match=said):
        insync_db_part.received(server, 5)
    assert server.told == []


def test_one_that_is_too_slow_is_told():
    with pytest.raises(DatabaseError, match="it has not applied 0-17-100 within 5 s, only 0-17-99"):
        insync_db_part.received(Replica(RECEIVED, waited=-1), 5)


@pytest.mark.parametrize("position", ["0-17-1'; DROP", "x", "0-17-1, )"])
def test_a_position_is_nothing_else(position):
    with pytest.raises(insync_gtid.GtidError):
        insync_db_part.caught_up(Replica(RECEIVED), position, 5)


def test_a_fenced_one_is_not_opened(fence):
    insync_db_part.fence("why")
    server = Replica(RECEIVED)
    with pytest.raises(DatabaseError):
        insync_db_part.promote(server)
    assert "SET GLOBAL read_only = OFF" not in server.told


# What only one server has.


@pytest.mark.parametrize(
    ("lacking", "own", "history", "start"),
    [
        (["0-17-100"], "0-18-90,0-17-100", "0-17-97,0-18-120", "0-17-97"),
        # It wrote by itself as a replica.
        (["0-17-121"], "0-17-121,0-18-110", "0-17-97,0-18-130", "0-18-110"),
        (["0-17-91"], "0-18-90,0-17-91", "0-18-95", "0-18-90"),
        (["0-17-91", "1-17-3"], "0-17-91,1-17-3", "0-17-90,1-17-1", "0-17-90,1-17-1"),
        (["0-17-91"], "0-17-91", "0-18-95", ""),
    ],
)
def test_where_what_only_one_has_begins(lacking, own, history, start):
    assert insync_gtid.missing(own, history) == lacking
    assert insync_gtid.before(lacking, own, history) == start


DUMP = b"""#261127 12:00:00 server id 17  end_log_pos 400 CRC32 0x1 \tGTID 0-17-98 trans
### INSERT INTO `insync`.`users`
### SET
###   @2='GTID 0-17-1 is no transaction'
#261127 12:00:01 server id 17  end_log_pos 500 CRC32 0x1 \tGTID 0-17-100 trans
### UPDATE `insync`.`users`
### DELETE FROM `insync`.`users`
"""


class Former(Server):
    """A former primary, with a log of one file."""

    def __call__(self, statement, *arguments):
        return [("mariadb-bin.000001", 1)] if statement == "SHOW BINARY LOGS" else super().__call__(statement)


@pytest.fixture
def former(monkeypatch, tmp_path):
    asked = []

    def dump(commands, target=None, **_):
        asked.append(commands[0])
        target.write(DUMP)

    monkeypatch.setattr(insync_pipe, "run", dump)
    server = Former(
        log_bin_basename=str(tmp_path / "mariadb-bin"), gtid_binlog_state="0-17-100", gtid_binlog_pos="0-17-98"
    )
    server.asked = asked
    return server


def test_what_only_it_has_is_written_into_a_file_and_counted(former, tmp_path):
    (found,) = insync_db_salvage.salvage(former, "0-17-97", tmp_path / "kept")
    assert (found["transactions"], found["rows"]) == (["0-17-98", "0-17-100"], 3)
    assert former.asked == [
        ["mariadb-binlog", "--verbose", "--start-position=0-17-97", str(tmp_path / "mariadb-bin.000001")]
    ]
    assert (tmp_path / "kept" / "0-17-100.sql").stat().st_mode & 0o777 == 0o600


def test_data_goes_only_if_all_of_it_was_salvaged(former, tmp_path):
    kept, data = tmp_path / "kept", tmp_path / "data"
    data.mkdir()
    with pytest.raises(DatabaseError, match="nobody has salvaged .0-17-100.; nothing was changed"):
        insync_db_salvage.give_up(former, "0-17-97", data, kept)
    insync_db_salvage.salvage(former, "0-17-97", kept)
    former.variables["gtid_binlog_state"] = "0-17-101"
    with pytest.raises(DatabaseError, match="nobody has salvaged .0-17-101."):
        insync_db_salvage.give_up(former, "0-17-97", data, kept)
    former.variables |= {"gtid_binlog_state": "0-17-100", "read_only": 0}
    with pytest.raises(DatabaseError, match="open for writes"):
        insync_db_salvage.give_up(former, "0-17-97", data, kept)
    assert list(data.iterdir()) == []
    former.variables["read_only"] = 1
    insync_db_salvage.give_up(former, "0-17-97", data, kept)
    assert [path.name for path in data.iterdir()] == [".insync-seeding"]


def test_what_is_in_no_log_any_more_is_told(former, tmp_path):
    former.variables["gtid_binlog_state"] = "0-17-200"
    with pytest.raises(DatabaseError, match="0-17-200: in no binary log that is left; nothing was changed"):
        insync_db_salvage.salvage(former, "0-17-97", tmp_path)


def test_what_was_cut_off_at_a_start_is_kept_too(former, tmp_path):
    former.variables["gtid_binlog_state"] = "0-17-98"
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "mariadb-bin.000007").touch()
    (found,) = insync_db_salvage.salvage(former, "0-17-98,0-18-105", tmp_path)
    assert found["transactions"] == ["0-17-100"]
    assert found["file"].endswith("cut-mariadb-bin.000007.sql")
    assert insync_db_salvage.salvage(former, "0-17-98,0-18-105", tmp_path) == []


def test_nothing_is_nothing(former, tmp_path):
    assert insync_db_salvage.salvage(former, "0-17-100,0-18-105", tmp_path) == []
    assert former.asked == []


# The start after a crash.


@pytest.fixture
def crashed(tmp_path):
    """A function that starts a server whose last log is closed or not, with what the master says; what it is then."""
    data, file, cut = tmp_path / "data", tmp_path / "role.cnf", tmp_path / "cut"
    data.mkdir()
    (data / "mariadb-bin.index").write_text("./mariadb-bin.000001\n./mariadb-bin.000002\n")
    file.write_text(ROLE)

    def start(primary, in_use=1, returns=0):
        (data / "mariadb-bin.000002").write_bytes(b"\xfebin" + bytes(17) + bytes([in_use, 0]))
        ask = ["sh", "-c", f"echo '{json.dumps({'local': primary})}'; exit {returns}"]
        PROGRAM["main"]("db", data, file, cut, ask)
        copies = sorted(path.name for path in cut.iterdir()) if cut.exists() else []
        return file.read_text().split()[-1], copies

    return start


def test_after_a_crash_the_primary_keeps_all(crashed):
    assert crashed("db") == ("MASTER", [])


def test_one_that_is_the_primary_no_more_cuts_off_but_not_before_there_is_a_copy(crashed):
    assert crashed("db-slave02") == ("SLAVE", ["mariadb-bin.000002"])
    # And later, when it is the primary again.
    assert crashed("db")[0] == "MASTER"


@pytest.mark.parametrize("said", ["", None, {"a": 1}, "No such thing!"])
def test_an_answer_that_is_none_changes_nothing(crashed, said):
    assert crashed(said) == ("MASTER", [])
    assert crashed("db-slave02", returns=1) == ("MASTER", [])


def test_who_was_shut_down_asks_nobody(crashed):
    assert crashed("db-slave02", in_use=0) == ("MASTER", [])


def test_a_blank_server_starts(tmp_path):
    PROGRAM["main"]("db", tmp_path, tmp_path / "none", tmp_path / "cut", ["false"])
