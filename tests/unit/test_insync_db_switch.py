"""How the primary is switched, on servers that only answer: the order of the steps, and what is refused."""

import copy
import json

import insync_db_pair
import insync_db_switch
import insync_inventory
import insync_jobs
import insync_journal
import insync_primaries
import pytest
from insync_db_pair import Refused
from insync_db_switch import Failed

from tests.unit.test_insync_inventory import SMALL, _host, _service

PAIR = insync_db_pair.Pair("production", "db", ("db2",), ("web9", "worker"), ("ct1",), ("web9",), ())
AFTER = insync_db_pair.Pair("production", "db2", ("db",), ("web9", "worker"), ("ct1",), ("web9",), ("db",))
DOWN = "no answer; is it down, or its salt-minion?"
OPEN = {
    "writable": True,
    "fenced": False,
    "uptime": 5000,
    "problems": [],
    "gtid": {"binlog": "0-17-100", "history": "0-17-100"},
    "heartbeat": {"server": "db", "age": 1.0, "semi_sync": True},
    "semi_sync": {"on": True, "timeout_ms": 10_000},
    "replication": None,
    "seed": None,
}
RUNS = {"source": "db.example", "receiver": "Yes", "applier": "Yes", "error": "", "semi_sync": True}
FOLLOWS = {**OPEN, "writable": False, "semi_sync": {"on": False, "timeout_ms": 10_000}, "replication": RUNS}


class Fleet:
    """Servers that answer what they were told to, change with the steps, and keep what they are asked."""

    def __init__(self, **found):
        self.found = copy.deepcopy({"db": OPEN, "db2": FOLLOWS, **found})
        self.silent, self.wrong, self.told, self.kept, self.salvaged = set(), {}, [], [], []
        self.reached = set()

    def look(self, servers, function, *arguments):
        return self._answer(servers, function, arguments)

    def call(self, servers, function, *arguments, **keywords):
        self.told.append((",".join(servers), function.partition(".")[2], *arguments))
        return self._answer(servers, function, arguments)

    def keep(self, primary, fenced, **facts):
        self.told.append(("ct1", "keep", primary, *fenced))
        self.kept.append({"primary": primary, "fenced": fenced, **facts})

    def _answer(self, servers, function, arguments):
        failed = {server: DOWN for server in servers if server in self.silent}
        failed |= {server: self.wrong[server, function] for server in servers if (server, function) in self.wrong}
        if function == "insync.db_status":
            failed |= {server: self.found[server] for server in servers if isinstance(self.found[server], str)}
        act = getattr(self, function.replace(".", "_"), lambda server, *arguments: True)
        answers = {server: act(server, *arguments) for server in servers if server not in failed}
        if failed:
            raise insync_jobs.JobError(function, failed, answers)
        return answers

    def insync_db_answered_by(self, server, address, port):
        return server in self.reached

    def insync_db_status(self, server):
        return self.found[server]

    def insync_db_close(self, server, why):
        self.found[server] |= {"writable": False, "fenced": True}
        return "0-17-100"

    def insync_db_unfence(self, server):
        self.found[server] |= {"fenced": False}

    def insync_db_promote(self, server):
        self.found[server] |= {"writable": True, "replication": None}

    def insync_db_received(self, server):
        return "0-17-100"

    def insync_db_salvage(self, server, history):
        return {"lacking": [one["transactions"][-1] for one in self.salvaged], "files": self.salvaged}

    def insync_slot_writes(self, server, app):
        return 201


def _switch(fleet, pair=PAIR, **options):
    journal = insync_journal.Journal("/nowhere", "x", "alice", pair.servers, keep=False)
    return insync_db_switch.Switch(pair, fleet, journal, fleet.keep, "salt-run x", **options)


def _steps(fleet):
    return [words[:2] for words in fleet.told if words[1] != "db_status"]


# Planned.


def test_a_switchover_closes_one_waits_for_the_other_and_opens_that():
    fleet = Fleet()
    done = _switch(fleet).switchover("db2")
    assert fleet.told == [
        ("db", "close", "salt-run x"),
        ("db2", "caught_up", "0-17-100"),
        ("ct1", "keep", "db2"),
        ("db2", "promote"),
        ("ct1", "conf_load"),
        ("db2", "apply", "mariadb", "firewall"),
        ("db", "start"),
        ("db", "salvage", "0-17-100"),
        ("db", "apply", "mariadb", "firewall"),
        ("db", "unfence"),
        ("web9", "writes", "web"),
    ]
    assert done == {"primary": "db2", "changes": {"primary": {"old": "db", "new": "db2"}}, "written": 201}


def test_to_the_primary_itself_is_no_change():
    fleet = Fleet()
    assert _switch(fleet).switchover("db") == {"primary": "db", "changes": {}}
    assert fleet.told == []


def test_test_mode_only_looks():
    fleet = Fleet(db=DOWN)
    assert _switch(fleet, test=True).failover("db2", False)["changes"] == {"primary": {"old": "db", "new": "db2"}}
    fleet.found["db"] = OPEN
    assert _switch(fleet, test=True).switchover("db2")["changes"] == {"primary": {"old": "db", "new": "db2"}}
    assert fleet.told == []


def beat(**facts):
    return {**FOLLOWS, "heartbeat": {**FOLLOWS["heartbeat"], **facts}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"db": DOWN}, "the primary does not answer: db: no answer.*'salt-run insync.failover_db db2' does without it"),
        ({"db2": DOWN}, "db2: no answer"),
        ({"db2": OPEN}, "db and db2 are both open for writes; nothing was done"),
        ({"db": {**OPEN, "writable": False}}, "db is closed for writes"),
        ({"db": {**OPEN, "writable": False, "fenced": True}}, "db is fenced"),
        ({"db": {**OPEN, "semi_sync": {"on": False}}}, "semi-synchronous replication is off"),
        ({"db2": {**FOLLOWS, "replication": {**RUNS, "semi_sync": False}}}, "semi-synchronous replication is off"),
        ({"db2": {**FOLLOWS, "replication": None}}, "db2 is no replica of db"),
        ({"db2": {**FOLLOWS, "replication": {**RUNS, "source": "db3.example"}}}, "db2 is no replica of db"),
        (
            {"db2": {**FOLLOWS, "replication": {**RUNS, "applier": "No", "error": "1950"}}},
            "db2 has diverged from db: 1950",
        ),
        ({"db2": {**FOLLOWS, "replication": {**RUNS, "receiver": "No"}}}, "the receiver does not run: it was stopped"),
        ({"db2": beat(age=12.0)}, "db2 is 12 s behind db, and 10 s are allowed"),
        ({"db2": {**FOLLOWS, "heartbeat": None}}, "db2 is an unknown time behind db"),
        ({"db2": {**FOLLOWS, "fenced": True}}, "db2 is fenced"),
    ],
)
def test_a_switchover_that_could_lose_something_is_refused_in_a_line_with_nothing_changed(found, said):
    fleet = Fleet(**found)
    with pytest.raises(Refused, match=said) as raised:
        _switch(fleet).switchover("db2")
    assert "nothing was done" in str(raised.value) and "\n" not in str(raised.value)
    assert fleet.told == []


@pytest.mark.parametrize("silent", ["ct1", "web9"])
def test_those_who_have_to_hear_of_it_have_to_answer(silent):
    fleet = Fleet()
    fleet.silent = {silent}
    with pytest.raises(Refused, match=f"{silent}: no answer, and has to hear who is the primary; nothing was done"):
        _switch(fleet).switchover("db2")
    assert fleet.told == []


def test_where_the_replica_does_not_follow_the_primary_is_opened_again():
    fleet = Fleet()
    fleet.wrong = {("db2", "insync_db.caught_up"): "it has not applied 0-17-100"}
    with pytest.raises(Failed, match="catch up: db2: it has not applied.*db is the primary as before, and open"):
        _switch(fleet).switchover("db2")
    assert _steps(fleet) == [("db", "close"), ("db2", "caught_up"), ("db", "unfence"), ("db", "promote")]
    assert fleet.kept == [] and fleet.found["db"]["writable"]


def test_one_that_was_ended_after_it_was_declared_goes_on():
    fleet = Fleet(db={**OPEN, "writable": False, "fenced": True})
    done = _switch(fleet, AFTER).switchover("db2")
    assert _steps(fleet)[:4] == [("db2", "caught_up"), ("db2", "received"), ("db2", "promote"), ("ct1", "conf_load")]
    assert done["written"] == 201


# After a loss.


@pytest.mark.parametrize("primary", [DOWN, "MariaDB at /run/mysqld/mysqld.sock: Can't connect"])
def test_a_failover_declares_and_fences_before_it_opens(primary):
    fleet = Fleet(db=primary)
    fleet.silent = {"db"} if primary == DOWN else set()
    done = _switch(fleet).failover("db2", False)
    fence = [("db", "fence")] if primary != DOWN else []
    assert _steps(fleet) == [
        ("ct1", "keep"),
        ("web9,worker", "apply"),
        *fence,
        ("db2", "received"),
        ("db2", "promote"),
        ("ct1", "conf_load"),
        ("db2", "apply"),
        ("web9", "writes"),
    ]
    assert (done["acknowledged_loss"], done["received"]) == ("none", "0-17-100")
    assert fleet.kept == [
        {"primary": "db2", "fenced": ["db"], "acknowledged_loss": "none", "why": done["why"]},
    ]


@pytest.mark.parametrize("primary", [OPEN, {**OPEN, "writable": False}])
def test_a_primary_that_answers_is_no_case_for_it(primary):
    fleet = Fleet(db=primary)
    with pytest.raises(Refused, match="db still answers.*'salt-run insync.switchover_db db2' loses nothing"):
        _switch(fleet).failover("db2", True)
    assert fleet.told == []


@pytest.mark.parametrize(
    ("replica", "why"),
    [
        (beat(semi_sync=False), "semi-synchronous replication was off"),
        (beat(age=30.0), "came 30.0 s ago, and after 10 s without a replica it goes on alone"),
        (beat(server="db3"), "there is no heartbeat of db"),
        (beat(age=-5.0), "the clocks of db and its replica differ by 5 s or more"),
        ({**FOLLOWS, "heartbeat": None}, "there is no heartbeat of db"),
        ({**beat(age=9.0), "uptime": 3}, "the replica was started anew since"),
    ],
)
def test_what_may_be_lost_is_lost_only_by_who_says_so(replica, why):
    fleet = Fleet(db=DOWN, db2=replica)
    fleet.silent = {"db"}
    with pytest.raises(Refused, match=f"what was answered may be lost: .*{why}.*accept_loss=True does it"):
        _switch(fleet).failover("db2", False)
    assert fleet.told == []
    done = _switch(fleet).failover("db2", True)
    assert done["acknowledged_loss"] == "possible" and why in done["why"]


def test_a_client_that_cannot_be_kept_from_the_old_one_may_write_there():
    fleet = Fleet(db=DOWN)
    fleet.silent = {"db", "worker"}
    with pytest.raises(Refused, match="worker: no answer, so nobody can keep it from writing to db"):
        _switch(fleet).failover("db2", False)
    assert fleet.told == []
    assert _switch(fleet).failover("db2", True)["acknowledged_loss"] == "possible"
    assert ("web9", "apply") in _steps(fleet)


def test_one_that_was_restored_from_a_backup_is_good_for_who_accepts_the_loss():
    restored = {**FOLLOWS, "replication": None, "seed": {"kind": "backup", "from": "2026-11-27T013000Z"}}
    fleet = Fleet(db=DOWN, db2=restored)
    fleet.silent = {"db"}
    with pytest.raises(Refused, match="its data is that of the backup 2026-11-27T013000Z"):
        _switch(fleet).failover("db2", False)
    assert fleet.told == []
    assert _switch(fleet).failover("db2", True)["received"] == ""
    assert ("db2", "promote") in _steps(fleet) and ("db2", "received") not in _steps(fleet)
    with pytest.raises(Refused, match="db2 is no replica of db"):
        _switch(Fleet(db2=restored)).switchover("db2")


def test_one_that_still_answers_its_clients_may_go_on_with_them():
    fleet = Fleet(db=DOWN)
    fleet.silent, fleet.reached = {"db"}, {"web9"}
    with pytest.raises(Refused, match="web9: db still answers there, and may go on alone"):
        _switch(fleet).failover("db2", False)
    assert fleet.told == []


@pytest.mark.parametrize(
    ("replica", "said"),
    [
        (DOWN, "db2: no answer"),
        (OPEN, "db2 is open for writes, and db is the declared primary"),
        ({**FOLLOWS, "replication": None}, "db2 is no replica of db"),
        ({**FOLLOWS, "replication": {**RUNS, "applier": "No", "error": "1062"}}, "db2 has diverged from db: 1062"),
    ],
)
def test_what_is_no_replica_is_never_made_the_primary(replica, said):
    fleet = Fleet(db=DOWN, db2=replica)
    with pytest.raises(Refused, match=said):
        _switch(fleet).failover("db2", True)
    assert fleet.told == []


def test_a_second_failover_changes_nothing():
    fleet = Fleet(db=DOWN, db2=OPEN)
    assert _switch(fleet, AFTER).failover("db2", False) == {"primary": "db2", "changes": {}}
    assert fleet.told == []


def test_one_that_failed_on_its_way_goes_on_and_fences_first():
    fleet = Fleet(db=DOWN)
    fleet.silent, fleet.wrong = {"db"}, {("db2", "insync_db.received"): "its applier is too slow"}
    with pytest.raises(Failed, match="too slow; db2 is declared the primary, db fenced; 'salt-run x' again goes on"):
        _switch(fleet).failover("db2", False)
    fleet.told, fleet.wrong = [], {}
    done = _switch(fleet, AFTER, kept=fleet.kept[0]).failover("db2", False)
    assert _steps(fleet)[:3] == [("web9,worker", "apply"), ("db2", "received"), ("db2", "promote")]
    assert done["acknowledged_loss"] == "none"


# Back again.


BACK = {"db2": OPEN, "db": {**OPEN, "writable": False, "fenced": True, "problems": ["it is fenced"]}}


def _rejoined(fleet):
    """Let what follows the primary be well."""
    fleet.insync_db_unfence = lambda server: fleet.found.update({server: FOLLOWS})
    return _switch(fleet, AFTER).rejoin("db")


def test_a_former_primary_follows_and_is_let_in_again():
    fleet = Fleet(**BACK)
    done = _rejoined(fleet)
    assert _steps(fleet) == [
        ("db", "start"),
        ("db", "salvage"),
        ("db", "apply"),
        ("db", "unfence"),
        ("ct1", "keep"),
        ("web9,worker", "apply"),
        ("db2,db", "apply"),
    ]
    assert fleet.kept == [{"primary": "db2", "fenced": []}]
    assert (done["primary"], done["salvaged"]) == ("db2", [])


def test_what_only_it_has_is_kept_before_its_data_is_made_anew():
    fleet = Fleet(**BACK)
    fleet.salvaged = [{"file": "/x.sql", "transactions": ["0-17-101"], "rows": 3}]
    assert _rejoined(fleet)["salvaged"] == fleet.salvaged
    assert _steps(fleet)[:4] == [("db", "start"), ("db", "salvage"), ("db", "give_up"), ("db", "apply")]


@pytest.mark.parametrize("step", ["salvage", "give_up"])
def test_what_cannot_be_salvaged_stays_where_it_is(step):
    fleet = Fleet(**BACK)
    fleet.salvaged = [{"file": "/x.sql", "transactions": ["0-17-101"], "rows": 3}]
    fleet.wrong = {("db", f"insync_db.{step}"): "in no binary log that is left"}
    with pytest.raises(Failed, match="in no binary log.*db stays closed; 'salt-run x' again goes on"):
        _rejoined(fleet)
    assert ("db", "apply") not in _steps(fleet) and fleet.kept == []


def test_one_whose_log_the_primary_has_not_any_more_is_made_anew():
    fleet = Fleet(**BACK)
    apply = iter(["mariadb-replication: Got fatal error 1236", None])

    def fail_once(server, *components):
        said = next(apply, None)
        if said:
            raise insync_jobs.JobError("insync_states.apply", {"db": said}, {})

    fleet.insync_states_apply = fail_once
    _rejoined(fleet)
    assert _steps(fleet)[2:6] == [("db", "apply"), ("db", "salvage"), ("db", "give_up"), ("db", "apply")]


@pytest.mark.parametrize(
    ("found", "host", "said"),
    [
        (BACK, "db2", "db2 is the declared primary"),
        ({**BACK, "db2": DOWN}, "db", "the primary db2: no answer"),
        ({**BACK, "db2": {**OPEN, "writable": False}}, "db", "the primary db2: it is closed for writes"),
        ({**BACK, "db": OPEN}, "db", "db2 and db are both open for writes"),
    ],
)
def test_nobody_rejoins_what_is_not_well(found, host, said):
    fleet = Fleet(**found)
    with pytest.raises(Refused, match=f"{said}.*nothing was done"):
        _switch(fleet, AFTER).rejoin(host)
    assert fleet.told == []


def test_a_server_that_is_down_is_told_so():
    fleet = Fleet(**{**BACK, "db": DOWN})
    fleet.silent = {"db"}
    with pytest.raises(Refused, match="db: no answer; is it down, or its salt-minion"):
        _switch(fleet, AFTER).rejoin("db")
    assert fleet.told == []


def test_of_two_that_were_fenced_one_rejoins():
    pair = insync_db_pair.Pair("production", "db2", ("db", "db3"), ("web9",), ("ct1",), ("web9",), ("db", "db3"))
    fleet = Fleet(**BACK)
    fleet.insync_db_unfence = lambda server: fleet.found.update({server: FOLLOWS})
    _switch(fleet, pair).rejoin("db")
    assert fleet.kept == [{"primary": "db2", "fenced": ["db3"]}]


def test_a_second_rejoin_changes_nothing():
    pair = insync_db_pair.Pair("production", "db2", ("db",), ("web9",), ("ct1",), ("web9",), ())
    fleet = Fleet(db2=OPEN, db={**FOLLOWS, "problems": []})
    assert _switch(fleet, pair).rejoin("db")["changes"] == {}
    assert fleet.told == []


# Who is concerned.


@pytest.fixture
def inventory():
    found = copy.deepcopy(SMALL)
    found["hosts"] |= {"db": _host(20, ["mysql_primary"]), "db2": _host(21, ["mysql_replica"])}
    found["hosts"]["test"] = {**_host(22, ["mysql_primary", "web"]), "environment": "staging"}
    found["hosts"]["gate"]["roles"].append("conf_server")
    found["services"]["mysql"] = _service("mysql_primary", 3306, ["web", "mysql_replica"])
    return found


def test_a_pair_and_those_who_have_to_know_of_it(inventory):
    wanted = insync_db_pair.Pair("production", "db", ("db2",), ("lb", "web10", "web9"), ("gate",), (), ())
    found = insync_db_pair.pair_of(inventory, "db2")
    assert (found.primary, found.replicas, found.clients, found.conf) == (
        wanted.primary,
        wanted.replicas,
        wanted.clients,
        wanted.conf,
    )
    assert sorted(found.web) == ["lb", "web10", "web9"] and found.fenced == ()
    switched = {"production": {"primary": "db2", "fenced": ["db"]}}
    after = {**inventory, "hosts": insync_primaries.applied(inventory["hosts"], switched)}
    assert insync_db_pair.pair_of(after, "db2").fenced == ("db",)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("db22", "there is no server 'db22'; did you mean 'db2'"),
        ("web9", "web9 has no database of a pair"),
        ("test", "staging has 1 primaries and 0 replicas"),
        ("", "there is no server ''"),
        ("db2; rm", "there is no server 'db2; rm'"),
        ("%", "there is no server '%'"),
    ],
)
def test_what_is_no_pair_is_refused(inventory, server, said):
    with pytest.raises(Refused, match=f"{said}.*nothing was done"):
        insync_db_pair.pair_of(inventory, server)


def test_what_is_kept_is_read_again(tmp_path):
    file = tmp_path / "primaries.json"
    assert insync_primaries.read(file) == {}
    insync_primaries.write("production", "db2", ["db"], file=file, by="alice")
    insync_primaries.write("staging", "b", file=file)
    assert insync_primaries.read(file) == {
        "production": {"primary": "db2", "fenced": ["db"], "by": "alice"},
        "staging": {"primary": "b", "fenced": []},
    }
    assert json.loads(file.read_text())["production"]["primary"] == "db2"
    assert insync_inventory.PRIMARY == insync_primaries.PRIMARY
