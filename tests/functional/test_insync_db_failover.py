"""The verbs that change the primary, whole, on two real MariaDBs, while eight write: nothing answered is lost."""

import contextlib
import itertools
import runpy
import shutil
import signal
import threading
import time

import insync_db
import insync_db_pair
import insync_db_part
import insync_db_salvage
import insync_db_status
import insync_db_switch
import insync_gtid
import insync_jobs
import insync_journal
import insync_mariadb
import insync_mariadb_seed
import pymysql
import pytest
from insync_mariadb import DatabaseError

from lab.paths import ROOT
from tests.functional.test_insync_db_switch import blank, follow, pair, until  # noqa: F401  fixtures

NAMES = ("db", "db2")


class Fleet:
    """Both servers, each with its heartbeat; it answers as the minions would, with the project's own steps."""

    def __init__(self, servers, monkeypatch):
        self.servers = dict(zip(NAMES, servers, strict=True))
        self.patch, self.lock = monkeypatch, threading.RLock()
        self.primary, self.fenced, self.down, self.cut = NAMES[0], [], set(), set()
        self.stopped = threading.Event()
        self.beats = [threading.Thread(target=self._beat, args=(name,), daemon=True) for name in NAMES]
        for one in self.beats:
            one.start()

    def _beat(self, name):
        """As mariadb-primary.service does."""
        program = runpy.run_path(str(ROOT / "salt" / "mariadb" / "files" / "primary"))
        program["main"].__globals__.update(FENCE=str(self.fence(name)), ASK=["false"], BEAT=0.5)
        server, socket = program["Server"](name, {"127.0.0.1", "localhost"}), self.servers[name].path
        while not self.stopped.wait(0.1):
            with (
                contextlib.suppress(pymysql.MySQLError),
                pymysql.connect(unix_socket=socket, user="root", ssl_disabled=True, autocommit=True) as connection,
            ):
                while not self.stopped.wait(0.1):
                    server.look(connection)

    def fence(self, name):
        return self.servers[name].folder / "fenced"

    def keep(self, primary, fenced, **_):
        self.primary, self.fenced = primary, fenced

    def pair(self):
        return insync_db_pair.Pair(
            "production", self.primary, (self.other(self.primary),), ("web",), ("ct1",), ("web",), tuple(self.fenced)
        )

    def other(self, name):
        return next(one for one in NAMES if one != name)

    def switch(self):
        journal = insync_journal.Journal("/nowhere", "x", "alice", list(NAMES), keep=False)
        return insync_db_switch.Switch(self.pair(), self, journal, self.keep, "salt-run x")

    # What insync_jobs.Jobs does.

    def look(self, servers, function, *arguments, **keywords):
        return self.call(servers, function, *arguments, **keywords)

    def call(self, servers, function, *arguments, **keywords):
        answers, failed = {}, {}
        for server in servers:
            try:
                if server in self.down:
                    raise DatabaseError("no answer")
                answers[server] = self._answer(server, function, arguments, keywords)
            except DatabaseError as exc:
                failed[server] = str(exc)
        if failed:
            raise insync_jobs.JobError(function, failed, answers)
        return answers

    def _answer(self, name, function, arguments, keywords):
        if name not in self.servers:
            return 201 if function == "insync_slot.writes" else None
        server, kind = self.servers[name], function.partition(".")[2]
        with self.lock:
            self.patch.setattr(insync_mariadb, "FENCE", self.fence(name))
            self.patch.setattr(insync_mariadb, "DATA", server.data)
            if kind == "start":
                return not insync_mariadb_seed.half(server.data)
            if kind == "fence":
                return insync_db_part.fence(*arguments)
            if kind == "unfence":
                return insync_db_part.unfence()
            if kind == "apply":
                return self._apply(name)
            if kind == "ping":
                return True
            return self._asked(server, name, kind, arguments, keywords)

    def _asked(self, server, name, kind, arguments, keywords):
        if kind == "close":
            insync_db_part.fence(*arguments)
            arguments = ()
        with server.query() as query:
            if kind == "db_status":
                found = insync_db_status.seen(query)
                role = "primary" if name == self.primary else "replica"
                source = f"{self.primary}.example"
                if found["replication"]:
                    # All of them are 127.0.0.1.
                    found["replication"]["source"] = source
                declared = {"role": role, "replicas": ["localhost"] if role == "primary" else [], "source": source}
                return {**found, "problems": insync_db_status.problems(found, {**declared, "stale_seconds": 300})}
            if kind in ("salvage", "give_up"):
                folder = server.folder / "salvage"
                if kind == "give_up":
                    return insync_db_salvage.give_up(query, arguments[0], server.data, folder)
                files = insync_db_salvage.salvage(query, arguments[0], folder)
                return {"lacking": insync_db_salvage.lacking(query, arguments[0]), "files": files}
            return getattr(insync_db_part, kind)(query, *arguments, **keywords)

    def _apply(self, name):
        """What the states of the component come to: made anew if it is half a copy, then it follows."""
        server, source = self.servers[name], self.servers[self.primary]
        if name == self.primary:
            return []
        if insync_mariadb_seed.half(server.data):
            self._copy(server, source)
        with server.query() as query:
            if insync_mariadb.replication(query):
                return []
            query("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
            own = query.variable("gtid_current_pos")
            query("SET GLOBAL gtid_slave_pos = %s", insync_gtid.later(query.variable("gtid_slave_pos"), own))
        follow(server, source)
        with server.query() as query:
            until(lambda: not insync_db.starting(query))
        return []

    def _copy(self, server, source):
        """Of a server that stands still for a moment: as after a crash."""
        server.kill()
        shutil.rmtree(server.data)
        source.process.send_signal(signal.SIGSTOP)
        shutil.copytree(source.data, server.data)
        source.process.send_signal(signal.SIGCONT)
        server.start("MASTER")
        with server.query() as query:
            # As in a copy by mariabackup, which is no part of the other's log.
            position = query.variable("gtid_binlog_pos")
            query("RESET MASTER")
            query("SET GLOBAL gtid_slave_pos = %s", position)


class Writers:
    """Eight of them, each at whichever server takes its rows; ``answered`` are the rows that were."""

    def __init__(self, fleet):
        self.fleet, self.numbers, self.answered, self.times = fleet, itertools.count(1), [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._write, args=(turn,)) for turn in range(8)]

    def __enter__(self):
        for one in self.threads:
            one.start()
        until(lambda: len(self.answered) > 50)
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        self.stop.set()
        for one in self.threads:
            one.join()

    def _write(self, turn):
        connection = None
        while not self.stop.is_set():
            server, number = self.fleet.servers[NAMES[turn % 2]], next(self.numbers)
            try:
                connection = connection or pymysql.connect(
                    unix_socket=server.path, user="writer", autocommit=True, ssl_disabled=True, read_timeout=10
                )
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO d.t VALUES ({number})")
                self.answered.append(number)
                self.times.append(time.monotonic())
            except pymysql.MySQLError:
                connection, turn = None, turn + 1
                time.sleep(0.02)


@pytest.fixture
def patience():
    """In milliseconds; eight writers, two servers and a fleet that boots beside them can keep a heartbeat for long."""
    return 5000


@pytest.fixture
def fleet(pair, monkeypatch):  # noqa: F811
    with pair[0].query() as query:
        query("CREATE DATABASE insync_fleet")
        query("CREATE USER writer@localhost")
        query("GRANT ALL ON d.* TO writer@localhost")
    fleet = Fleet(pair, monkeypatch)
    until(lambda: fleet._answer("db2", "insync.db_status", (), {})["heartbeat"])
    # One that has just been started is not believed.
    until(lambda: fleet._answer("db2", "insync.db_status", (), {})["uptime"] > 1)
    yield fleet
    fleet.stopped.set()
    for one in fleet.beats:
        one.join()


def contents(fleet):
    """The rows of both, once the replica has all."""
    with fleet.servers[fleet.primary].query() as query:
        position = query.variable("gtid_binlog_pos")
    found = []
    for name in (fleet.primary, fleet.other(fleet.primary)):
        with fleet.servers[name].query() as query:
            if name != fleet.primary:
                insync_db_part.caught_up(query, position, 90)
            found.append({number for (number,) in query("SELECT id FROM d.t")})
    return found


def test_there_and_back_while_eight_write(fleet):
    for _ in range(2):
        new = fleet.other(fleet.primary)
        with Writers(fleet) as writers:
            done = fleet.switch().switchover(new)
        assert (done["primary"], fleet.primary, done["written"]) == (new, new, 201)
        first, second = contents(fleet)
        assert first == second and not set(writers.answered) - first
        assert max(b - a for a, b in itertools.pairwise(sorted(writers.times))) < 5
        assert fleet.switch().switchover(new)["changes"] == {}
        for name in NAMES:
            with fleet.servers[name].query() as query:
                query("DELETE FROM d.t") if name == new else None


@pytest.mark.parametrize("role", ["SLAVE", "MASTER"])
def test_lost_and_back_while_eight_write(fleet, role):
    """Started as a replica the lost one cuts off what nobody confirmed; as a primary it has to be made anew."""
    for _ in range(2):
        old, new = fleet.primary, fleet.other(fleet.primary)
        with Writers(fleet) as writers:
            lost = fleet.servers[old]
            lost.kill()
            fleet.down = {old}
            done = fleet.switch().failover(new, False)
            lost.start(role)
            fleet.down = set()
        assert (done["acknowledged_loss"], fleet.primary, fleet.fenced) == ("none", new, [old]), done
        assert fleet.switch().failover(new, False)["changes"] == {}
        fleet.switch().rejoin(old)
        assert fleet.fenced == [] and fleet.switch().rejoin(old)["changes"] == {}
        first, second = contents(fleet)
        assert first == second and not set(writers.answered) - first
        with fleet.servers[new].query() as query:
            query("DELETE FROM d.t")


def test_what_the_primary_answered_alone_is_refused_then_salvaged(fleet, patience):
    with fleet.servers["db2"].query() as query:
        query("STOP SLAVE IO_THREAD")
    with Writers(fleet) as writers:
        # Longer than it waits for its replica.
        time.sleep(patience / 1000 + 3)
    fleet.servers["db"].kill()
    fleet.down = {"db"}
    with pytest.raises(insync_db_pair.Refused, match="what was answered may be lost"):
        fleet.switch().failover("db2", False)
    assert fleet.primary == "db"
    assert fleet.switch().failover("db2", True)["acknowledged_loss"] == "possible"
    with fleet.servers["db2"].query() as query:
        there = {number for (number,) in query("SELECT id FROM d.t")}
    missing = set(writers.answered) - there
    assert missing, "nothing was lost: the test is broken"
    fleet.servers["db"].start("MASTER")
    fleet.down = set()
    (one,) = fleet.switch().rejoin("db")["salvaged"]
    text = open(one["file"]).read()
    found = {int(line.partition("=")[2].split()[0]) for line in text.splitlines() if line.startswith("###   @1=")}
    assert missing <= found
    first, second = contents(fleet)
    assert first == second == there
