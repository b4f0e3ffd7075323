"""Another server becomes the primary of the database, planned or after a loss, while customers write."""

import statistics
import subprocess
import time

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed
from tests.fleet.release import ran, refused
from tests.fleet.test_7_database import PRIMARY, REPLICA, call, sql
from tests.fleet.writers import TABLE, writing

# Without a database the site says nothing to anybody.
pytestmark = pytest.mark.alone

PAIR = [PRIMARY, REPLICA]
TIMEOUT = 10


def declared(fleet, server=REPLICA):
    """The primary, as ct1 says; ``server`` is one of both that runs."""
    return fleet.salt(server, "insync.db_primary")[server]


def other(server):
    return next(name for name in PAIR if name != server)


def well(fleet, primary):
    """Wait until both are as they should be, ``primary`` open."""

    def both():
        found = fleet.salt(PAIR, "insync.db_status")
        known = [one for one in found.values() if isinstance(one, dict) and not one["problems"]]
        return found if len(known) == 2 and found[primary]["writable"] else None

    return fleet.eventually(both, 90, why=f"{primary} and its replica do not come to be well")


def power(fleet, verb, server):
    done = subprocess.run(["podman", verb, f"insync-{server}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def checked(fleet, primary, writers):
    """(rows that were answered and are lost, checksums of both) once the replica has all."""
    there = set(sql(fleet, primary, f"SELECT id FROM {TABLE}").split())
    position = sql(fleet, primary, "SELECT @@gtid_binlog_pos")
    assert sql(fleet, other(primary), f"SELECT MASTER_GTID_WAIT('{position}', 30)") == "0"
    sums = {sql(fleet, server, f"CHECKSUM TABLE {TABLE} EXTENDED") for server in PAIR}
    return [row for row, _, _ in writers.rows if row not in there], sums


def nothing_to_do(fleet):
    """A highstate of both has nothing to change, nor to complain of."""
    results = fleet.highstate([*PAIR, "web02"])
    assert {server: (failed(states), changed(states)) for server, states in results.items()} == dict.fromkeys(
        [*PAIR, "web02"], ([], [])
    )


@pytest.fixture(scope="module", autouse=True)
def home(fleet):
    """Every drill begins with both well; in the end db is the primary again."""
    well(fleet, declared(fleet))
    yield
    if declared(fleet) != PRIMARY:
        ran(fleet, "insync.switchover_db", PRIMARY)
    sql(fleet, PRIMARY, f"DROP TABLE IF EXISTS {TABLE}")
    well(fleet, PRIMARY)


def test_a_planned_switchover_loses_nothing_and_is_short(fleet, drills):
    for number in range(drills.size(1, 5)):
        primary = declared(fleet)
        new = other(primary)
        with writing(fleet, primary, PAIR, drills.size(0.05, 0.005)) as writers:
            before = time.time()
            done = ran(fleet, "insync.switchover_db", new)
        assert (done["changes"], done["written"] in (201, 409)) == ({"primary": {"old": primary, "new": new}}, True)
        lost, sums = checked(fleet, new, writers)
        assert (lost, len(sums)) == ([], 1)
        assert len({row for row, _, _ in writers.rows}) == len(writers.rows)
        assert writers.longest() <= drills.size(15, 5)
        first = writers.first(new, before)
        drills.note_database(f"switchover {number + 1}", len(writers.rows), 0, 0, first, done["seconds"])
        assert ran(fleet, "insync.switchover_db", new)["changes"] == {}
    well(fleet, new)
    nothing_to_do(fleet)
    # Nobody tells it to: the timer's next run makes the backup that its binary logs go on from.
    fleet.ok(primary, "systemctl", "start", "mariadb-backup@binlogs")
    newest = call(fleet, primary, "insync.backups", "limit=1")["physical"][0]
    assert newest["server"] == primary
    assert call(fleet, primary, "insync.backup", "kind=binlogs")["physical"] is None


def test_a_lost_primary_takes_nothing_along_that_was_answered(fleet, drills):
    waits = []
    for number in range(drills.size(1, 10)):
        primary = declared(fleet)
        new = other(primary)
        with writing(fleet, primary, PAIR, drills.size(0.05, 0.005)) as writers:
            power(fleet, "kill", primary)
            before = time.time()
            done = ran(fleet, "insync.failover_db", new)
            email = web.address("failover")
            assert web.sign_up(fleet, email)[0] == 201
        power(fleet, "start", primary)
        fleet.answers(primary)
        again = ran(fleet, "insync.failover_db", new)
        back = ran(fleet, "insync.rejoin_db", primary)
        assert (done["acknowledged_loss"], again["changes"]) == ("none", {}), done["why"]
        lost, sums = checked(fleet, new, writers)
        assert (lost, len(sums)) == ([], 1), back
        waits.append(writers.first(new, before))
        drills.note_database(f"failover {number + 1}", len(writers.rows), 0, 0, waits[-1], done["seconds"])
        well(fleet, new)
    assert statistics.median(waits) <= drills.size(60, 30) and max(waits) <= 60
    nothing_to_do(fleet)


@pytest.mark.full_size
def test_what_the_primary_answered_alone_is_not_lost_in_silence(fleet, drills):
    """The replica cannot be reached for three times as long as the primary waits for it: it has gone on alone."""
    primary = declared(fleet)
    new = other(primary)
    address = INVENTORY["hosts"][new]["private"]
    with writing(fleet, primary, [primary]) as writers:
        rules = "add table ip lab; add chain ip lab o { type filter hook output priority 0; }; "
        rules += f"add rule ip lab o ip daddr {address} drop"
        fleet.ok(primary, "nft", rules)
        time.sleep(3 * TIMEOUT)
    power(fleet, "kill", primary)
    said = refused(fleet, "insync.failover_db", new)
    assert "what was answered may be lost" in said and "accept_loss=True" in said
    assert declared(fleet, new) == primary
    done = ran(fleet, "insync.failover_db", new, "accept_loss=True")
    assert done["acknowledged_loss"] == "possible"
    there = set(sql(fleet, new, f"SELECT id FROM {TABLE}").split())
    lost = [row for row, _, _ in writers.rows if row not in there]
    assert lost, "the harness is broken: nothing was lost"
    power(fleet, "start", primary)
    fleet.answers(primary)
    back = ran(fleet, "insync.rejoin_db", primary)
    texts = [fleet.ok(primary, "cat", one["file"]) for one in back["salvaged"]]
    assert all(any(row in text for text in texts) for row in lost)
    rows = sum(text.count(f"### INSERT INTO `{TABLE.replace('.', '`.`')}`") for text in texts)
    # A row that nobody was answered may be among them.
    assert len(lost) <= rows <= len(lost) + 8
    drills.note_database("partition", len(writers.rows), len(lost), rows, 0, done["seconds"])
    well(fleet, new)


def test_what_cannot_be_is_refused_in_a_line_and_nothing_is_changed(fleet):
    primary = declared(fleet)
    replica = other(primary)
    known = well(fleet, primary)
    assert f"{primary} still answers" in refused(fleet, "insync.failover_db", replica)
    assert f"{primary} is the declared primary" in refused(fleet, "insync.rejoin_db", primary)
    for wrong in ("web02", "staging", "nobody"):
        assert "nothing was done" in refused(fleet, "insync.switchover_db", wrong)
    sql(fleet, replica, "STOP SLAVE SQL_THREAD")
    try:
        assert "the applier does not run" in refused(fleet, "insync.switchover_db", replica)
    finally:
        sql(fleet, replica, "START SLAVE SQL_THREAD")
    sql(fleet, replica, "SET GLOBAL read_only = OFF")
    try:
        assert "both open for writes" in refused(fleet, "insync.switchover_db", replica)
        assert "both open for writes" in refused(fleet, "insync.rejoin_db", replica)
    finally:
        sql(fleet, replica, "SET GLOBAL read_only = ON")
    after = well(fleet, primary)
    assert {name: one["writable"] for name, one in after.items()} == {
        name: one["writable"] for name, one in known.items()
    }
    assert declared(fleet) == primary
