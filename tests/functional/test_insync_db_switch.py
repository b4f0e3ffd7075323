"""A pair of real MariaDBs, on sockets and loopback: the steps of a switch, and what each leaves behind."""

import contextlib
import pathlib
import runpy
import shutil
import signal
import socket
import subprocess
import threading
import time

import insync_db
import insync_db_pair
import insync_db_part
import insync_db_salvage
import insync_db_status
import insync_mariadb
import pymysql
import pytest
from insync_mariadb import DatabaseError

from tests.functional.test_insync_mysql import SERVER, SYSTEM_TABLES, _wait

PAIR = ["--log-bin=mariadb-bin", "--binlog-format=ROW", "--gtid-strict-mode=ON", "--log-slave-updates=ON"]
PAIR += ["--relay-log=mariadb-relay", "--relay-log-recovery=ON", "--read-only=ON", "--sync-binlog=1"]
PAIR += ["--rpl-semi-sync-slave-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC", "--slave-net-timeout=2"]
PAIR += ["--bind-address=127.0.0.1", "--innodb-log-file-size=4M"]


class Server:
    """One of the two, which can be killed and started again."""

    def __init__(self, folder, number, patience):
        self.folder, self.data, self.path = folder, folder / "data", str(folder / "socket")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        where = [f"--datadir={self.data}", f"--socket={self.path}", f"--pid-file={folder}/pid", f"--port={self.port}"]
        own = [f"--server-id={number}", f"--rpl-semi-sync-master-timeout={patience}", f"--tmpdir={folder}"]
        self.command, self.process = [*SERVER, *where, *PAIR, *own], None

    def start(self, role):
        log = open(self.folder / "log", "a")
        self.process = subprocess.Popen([*self.command, f"--init-rpl-role={role}"], stdout=log, stderr=log)
        _wait(self.path, self.folder / "log")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def query(self):
        return insync_mariadb.local(self.path)


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """The data of a server that nobody has used, made once."""
    data = tmp_path_factory.mktemp("blank")
    scripts = [pathlib.Path(f"/usr/share/mysql/{name}.sql").read_text() for name in SYSTEM_TABLES]
    tables = "\n".join(["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = 'root';", *scripts])
    server = [*SERVER, f"--datadir={data}", f"--tmpdir={data}", "--innodb-log-file-size=4M", "--bootstrap"]
    subprocess.run(server, input=tables, text=True, check=True, capture_output=True)
    return data


@pytest.fixture
def patience():
    """For how many milliseconds a primary waits for its replica."""
    return 1000


@pytest.fixture
def pair(blank, tmp_path, monkeypatch, patience):
    """The primary, and the replica that follows it."""
    monkeypatch.setattr(insync_mariadb, "FENCE", tmp_path / "fenced")
    servers = []
    with contextlib.ExitStack() as stack:
        for number in (17, 18):
            folder = tmp_path / str(number)
            shutil.copytree(blank, folder / "data")
            servers.append(Server(folder, number, patience))
            servers[-1].start("MASTER")
            stack.callback(servers[-1].kill)
        one, two = servers
        with one.query() as query:
            query("SET GLOBAL read_only = OFF")
            query("CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'x'")
            query("GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")
            query("CREATE DATABASE d")
            query("CREATE TABLE d.t (id INT PRIMARY KEY)")
        follow(two, one)
        with one.query() as query:
            until(lambda: insync_mariadb.replicas(query))
            insync_db.open_for_writes(query)
            position = query.variable("gtid_binlog_pos")
        with two.query() as query:
            insync_db_part.caught_up(query, position, 90)
        yield one, two


def follow(server, source):
    with server.query() as query:
        query(
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port}, MASTER_USER = 'replica',"
            " MASTER_PASSWORD = 'x', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1"
        )
        query("START SLAVE")


def until(check, seconds=20):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(query):
    return [number for (number,) in query("SELECT id FROM d.t ORDER BY id")]


def write(server, numbers):
    with server.query() as query:
        for number in numbers:
            query(f"INSERT INTO d.t VALUES ({number})")


def test_a_switchover_loses_nothing_and_the_former_primary_follows(pair):
    one, two = pair
    write(one, range(50))
    with one.query() as query:
        insync_db_part.fence("test")
        position = insync_db_part.close(query)
        assert insync_db_part.close(query) == position, "closed twice"
        with pytest.raises(DatabaseError, match="it is fenced"):
            insync_db.may_open(query)
    insync_db_part.unfence()
    with two.query() as query:
        insync_db_part.caught_up(query, position, 10)
        assert insync_db_part.received(query, 10) == position
        insync_db_part.promote(query)
        insync_db_part.promote(query)
        assert not insync_db.closed(query) and insync_mariadb.replication(query) == {}
    write(two, [50])
    with one.query() as query:
        query("SET GLOBAL gtid_slave_pos = %s", query.variable("gtid_current_pos"))
        query("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
        follow(one, two)
        until(lambda: len(rows(query)) == 51)
        assert insync_db.replication_problem(query) == ""
        assert rows(query) == list(range(51))


def test_one_that_stands_still_is_not_waited_for_for_ever(pair):
    one, _ = pair
    one.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(insync_mariadb.Unreachable, match="timed out"), insync_mariadb.local(one.path, 0.5):
            pass
        assert not insync_db_part.answered_by("127.0.0.1", one.port, 0.5)
    finally:
        one.process.send_signal(signal.SIGCONT)
    assert insync_db_part.answered_by("127.0.0.1", one.port, 5)
    with one.query() as query:
        query("SELECT SLEEP(0.1)")


def test_one_that_is_asked_for_what_will_not_come_says_so(pair):
    one, two = pair
    with two.query() as query:
        with pytest.raises(DatabaseError, match=r"it has not applied 0-17-999 within 0 s, only 0-17-"):
            insync_db_part.caught_up(query, "0-17-999", 0.2)


def test_a_statement_that_runs_on_is_not_waited_for_for_ever(pair, monkeypatch):
    monkeypatch.setattr(insync_db_part, "_PATIENCE", 1)
    one, _ = pair
    with one.query() as locker:
        locker("LOCK TABLES d.t WRITE")
        with pytest.raises(DatabaseError, match="Lock wait timeout"), one.query() as query:
            insync_db_part.close(query)
        with one.query() as query:
            assert not insync_db.closed(query)


def test_all_that_was_answered_is_there_though_the_applier_stood_still(pair):
    """As while a backup is made: what was answered is in the relay log only, which must not be thrown away."""
    one, two = pair
    write(one, range(20))
    with two.query() as query:
        query("STOP SLAVE SQL_THREAD")
    write(one, range(20, 30))
    one.kill()
    with two.query() as query:
        until(lambda: insync_mariadb.replication(query)["Slave_IO_Running"] == "Connecting")
        assert len(rows(query)) < 30
        insync_db_part.received(query, 10)
        insync_db_part.promote(query)
        assert rows(query) == list(range(30))


def test_a_replica_that_was_stopped_as_a_whole_is_not_believed(pair):
    """Started again it throws its relay log away, and with it what it had confirmed."""
    one, two = pair
    with two.query() as query:
        query("STOP SLAVE SQL_THREAD")
    write(one, [1])
    one.kill()
    with two.query() as query:
        query("STOP SLAVE")
        with pytest.raises(DatabaseError, match="it was stopped|stopped as a whole"):
            insync_db_part.received(query, 10)
        assert insync_db.closed(query)


def test_a_former_primary_cuts_off_what_was_never_answered_and_follows(pair):
    one, two = pair
    write(one, range(20))
    with two.query() as query:
        query("STOP SLAVE IO_THREAD")
    # Written, and never answered: nobody confirms it.
    with one.query() as query:
        query("SET GLOBAL rpl_semi_sync_master_timeout = 60000")
        before = query.variable("gtid_binlog_pos")
    late = threading.Thread(target=_unanswered, args=(one, 99))
    late.start()
    with one.query() as query:
        until(lambda: query.variable("gtid_binlog_pos") != before)
    one.kill()
    late.join()
    with two.query() as query:
        insync_db_part.received(query, 10)
        insync_db_part.promote(query)
        history = query.variable("gtid_binlog_state")
    write(two, [20])
    one.start("SLAVE")
    with one.query() as query:
        assert insync_db_salvage.lacking(query, history) == []
        query("SET GLOBAL gtid_slave_pos = %s", query.variable("gtid_current_pos"))
        follow(one, two)
        until(lambda: len(rows(query)) == 21)
        assert rows(query) == list(range(21))


def test_as_the_primary_it_keeps_what_nobody_has_confirmed_and_that_is_seen(pair):
    one, two = pair
    with two.query() as query:
        query("STOP SLAVE IO_THREAD")
    write(one, [1])
    with two.query() as query:
        insync_db_part.received(query, 10)
        insync_db_part.promote(query)
        history = query.variable("gtid_binlog_state")
        assert rows(query) == []
    one.kill()
    one.start("MASTER")
    with one.query() as query:
        lacking = insync_db_salvage.lacking(query, history)
        assert len(lacking) == 1 and lacking[0].startswith("0-17-")
        assert insync_db_salvage.logs(query)[-1].exists()


@pytest.mark.parametrize("role", ["MASTER", "SLAVE"])
def test_what_only_the_former_primary_has_is_in_a_file_before_its_data_goes(pair, role, tmp_path):
    one, two = pair
    write(one, range(5))
    with two.query() as query:
        query("STOP SLAVE IO_THREAD")
    # Answered by one alone, whose patience has ended.
    write(one, range(5, 12))
    with one.query() as query:
        query("UPDATE d.t SET id = 100 WHERE id = 11")
        query("FLUSH BINARY LOGS")
        query("DELETE FROM d.t WHERE id = 10")
        log = insync_db_salvage.logs(query)[-1]
    with two.query() as query:
        insync_db_part.received(query, 10)
        insync_db_part.promote(query)
        history = query.variable("gtid_binlog_state")
    write(two, [20])
    kept = tmp_path / "kept"
    one.kill()
    if role == "SLAVE":
        # As its unit does it before.
        (kept / "cut").mkdir(parents=True)
        shutil.copyfile(log, kept / "cut" / log.name)
    one.start(role)
    with one.query() as query:
        before = query.variable("gtid_binlog_pos")
        found = insync_db_salvage.salvage(query, history, kept)
        lacking = insync_db_salvage.lacking(query, history)
        assert lacking == [before] and all(one["transactions"] for one in found)
        # Of what was cut off, too; what was committed and is still there is in the first one.
        assert len({gtid for one in found for gtid in one["transactions"]}) == 9
        assert found[0]["rows"] == (9 if role == "MASTER" else 9 - (found[1]["rows"] if found[1:] else 0))
        assert insync_db_salvage.salvage(query, history, kept)[:1] == found[:1], "again, it is the same"
        insync_db_salvage.give_up(query, history, tmp_path, kept)
    assert (tmp_path / ".insync-seeding").exists()


def test_the_status_tells_what_a_failover_goes_by(pair):
    one, two = pair
    with one.query() as query:
        query("CREATE DATABASE insync_fleet")
    beat = _program()
    with pymysql.connect(unix_socket=one.path, user="root", ssl_disabled=True, autocommit=True) as connection:
        beat["Server"]("db", {"127.0.0.1"}).beat(connection)
    with two.query() as query:
        until(lambda: insync_db_status.heartbeat(query))
        found = insync_db_status.seen(query)
    assert found["heartbeat"]["semi_sync"] and found["heartbeat"]["server"] == "db"
    assert insync_db_pair.evidence({**found, "uptime": 999}, "db")["acknowledged_loss"] == "none"
    # A second later: nobody confirms what is written, and it has gone on alone.
    with two.query() as query:
        query("STOP SLAVE IO_THREAD")
    write(one, [1])
    with pymysql.connect(unix_socket=one.path, user="root", ssl_disabled=True, autocommit=True) as connection:
        beat["Server"]("db", {"127.0.0.1"}).beat(connection)
    with one.query() as query:
        assert not insync_db_status.heartbeat(query)["semi_sync"]


def _program():
    return runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "salt/mariadb/files/primary"))


def _unanswered(server, number):
    with contextlib.suppress(DatabaseError), server.query() as query:
        query(f"INSERT INTO d.t VALUES ({number})")
