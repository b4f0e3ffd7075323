"""The power of a server that keeps data is cut while clients write: what they were answered is there afterwards."""

import contextlib
import random
import re
import time

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed
from tests.fleet.power import disk, noting
from tests.fleet.test_7_failover_drills import declared, other
from tests.fleet.test_7_failover_drills import well as both_well
from tests.fleet.test_7_queue import ADDRESS
from tests.fleet.test_7_queue import SERVER as QUEUE
from tests.fleet.test_7_queue import status as queue_status
from tests.fleet.writers import DOMAIN

pytestmark = pytest.mark.full_size

CUTS, CONTROL_CUTS = 10, 2
# How many are answered before a cut, and after it.
BEFORE, AFTER = 200, 20
CA = "/etc/insync/fleet-ca.crt"
TABLE = "insync.lab_power"
CREATE = f"CREATE TABLE {TABLE} (id CHAR(32) PRIMARY KEY) ENGINE = InnoDB"
REDIS = "redis"
# What is started for a drill alone, and where it keeps what it keeps.
UNIT, PLACE = "lab-power", "/var/lib/lab-power"


def one_cut(fleet, there, server, given, patience=90, look=None):
    """
    Cut the power of ``there`` (Disk) while clients on ``server`` write.

    Returns (how many were answered, the rows of them that are lost, what ``look`` returns).
    patience (float): seconds within which they are answered again. look (callable): is called when nobody writes.
    """
    with noting(fleet, server, given) as notes:
        notes.more(BEFORE, patience)
        time.sleep(random.uniform(0, 2))
        there.cut()
        there.start()
        notes.more(AFTER, patience)
        notes.stop()
        answered, lost = notes.compared()
        seen = look() if look else None
        notes.clear()
    return answered, lost, seen


def nothing_to_do(fleet, *servers):
    """A highstate of ``servers`` has nothing to change, nor to complain of."""
    for server, states in fleet.highstate(list(servers)).items():
        assert (failed(states), changed(states)) == ([], []), server


def sql(fleet, server, statement, *options):
    return fleet.ok(server, "mariadb", *options, "--batch", "--skip-column-names", "--execute", statement).strip()


# The rows of the binary log, as mariadb-binlog shows them.
LOGGED = re.compile(rf"### INSERT INTO {re.escape('`' + TABLE.replace('.', '`.`') + '`')}\n### SET\n###   @1='(\w+)'")


def logs(fleet, server, pattern):
    """The files of the binary log that match ``pattern`` (of the shell), the oldest first."""
    return sorted(fleet.ok(server, "sh", "-c", f"ls {pattern}").split())


def logged(fleet, server, files, tool=("mariadb-binlog",)):
    """The rows that the binary log has (set); files (list of str): of it."""
    said = fleet.ok(server, *tool, "--base64-output=decode-rows", "--verbose", *files)
    return set(LOGGED.findall(said))


def rows(fleet, server, *options):
    """The rows that are there (set)."""
    return set(sql(fleet, server, f"SELECT id FROM {TABLE}", *options).split())


def test_a_cut_loses_what_was_not_synced_and_nothing_else(fleet):
    """Without any server: it is the file system that does it."""
    write = f"echo synced > {PLACE}/synced; sync {PLACE}/synced; echo not > {PLACE}/not; exec sleep infinity"
    with control(fleet, REDIS, ["sh", "-c", write]) as there:
        fleet.eventually(lambda: fleet.run(REDIS, "cat", f"{PLACE}/not").stdout == "not\n", 20)
        there.cut()
        assert fleet.run(REDIS, "cat", f"{PLACE}/synced").stdout == "synced\n"
        assert fleet.run(REDIS, "cat", f"{PLACE}/not").stdout == "", "the harness is broken: nothing was lost"


@contextlib.contextmanager
def control(fleet, server, command, user="root", prepare=""):
    """
    Run ``command`` (list of str) on ``server``, with a disk of its own at PLACE, while the block runs; yield the Disk.

    user (str): who it runs as. prepare (str): a script that is run before.
    """
    begin = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--uid={user}", *command]
    try:
        script = f'rm -rf {PLACE} && install -d -o "$1" -m 0700 {PLACE} && {prepare or "true"}'
        fleet.ok(server, "sh", "-c", script, "sh", user)
        with disk(fleet, server, PLACE, UNIT, begin) as there:
            yield there
    finally:
        fleet.run(server, "systemctl", "stop", UNIT)
        fleet.run(server, "rm", "-rf", PLACE)


# The database.


@pytest.fixture
def table(fleet):
    """The declared primary, with a table that web may write to."""
    primary = declared(fleet)
    both_well(fleet, primary)
    sql(fleet, primary, f"DROP TABLE IF EXISTS {TABLE}; {CREATE}; FLUSH BINARY LOGS")
    yield primary
    both_well(fleet, primary)
    sql(fleet, primary, f"DROP TABLE {TABLE}")
    both_well(fleet, primary)


def test_the_database_loses_nothing_that_it_answered(fleet, drills, table):
    primary, replica, pattern = table, other(table), "/var/lib/mysql/mariadb-bin.[0-9]*"
    first = logs(fleet, primary, pattern)[-1]
    given = {"user": "web", "password": web.SECRETS["mysql_primary"]["web_password"], "table": TABLE}
    given.update(kind="database", host=f"{primary}.{DOMAIN}", ssl_ca=CA, ssl_verify_cert=True, ssl_verify_identity=True)

    def look():
        both_well(fleet, primary)
        there = rows(fleet, primary)
        position = sql(fleet, primary, "SELECT @@gtid_binlog_pos")
        assert sql(fleet, replica, f"SELECT MASTER_GTID_WAIT('{position}', 30)") == "0"
        files = [file for file in logs(fleet, primary, pattern) if file >= first]
        return there ^ logged(fleet, primary, files), there ^ rows(fleet, replica)

    found = []
    with disk(fleet, primary, "/var/lib/mysql", "mariadb") as there:
        for _ in range(CUTS):
            found.append(one_cut(fleet, there, "web02", given, look=look))
    drills.note_power("MariaDB", "as declared", CUTS, *totals(found), sum(len(seen[0]) for _, _, seen in found))
    assert [lost for _, lost, _ in found] == [[]] * CUTS
    # The log, the replica and the table have the same.
    assert [seen for _, _, seen in found] == [(set(), set())] * CUTS
    both_well(fleet, primary)
    nothing_to_do(fleet, primary, replica)


def totals(found):
    """(answered, lost) of all."""
    return sum(answered for answered, _, _ in found), sum(len(lost) for _, lost, _ in found)


SOCKET = f"--socket={PLACE}/socket"
MARIADBD = ["mariadbd", "--no-defaults", f"--datadir={PLACE}", SOCKET, "--skip-networking", f"--log-bin={PLACE}/log"]
MARIADBD += ["--binlog-format=ROW", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"]
INSTALL = f"mariadb-install-db --no-defaults --user=mysql --datadir={PLACE} --skip-test-db >/dev/null"


@pytest.mark.parametrize(
    "settings, loses_rows",
    [(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"], True), (["--sync-binlog=0"], False)],
)
def test_a_database_that_does_not_sync_is_seen_to_lose(fleet, drills, settings, loses_rows):
    server = declared(fleet)
    given = {"kind": "database", "table": TABLE, "user": "root", "unix_socket": f"{PLACE}/socket"}
    options = ["--no-defaults", SOCKET]

    def look():
        files = logs(fleet, server, f"{PLACE}/log.[0-9]*")
        # What was cut off in the middle is read to where it is cut off.
        tool = ("sh", "-c", 'mariadb-binlog "$@" || true', "mariadb-binlog")
        return rows(fleet, server, *options) - logged(fleet, server, files, tool)

    with control(fleet, server, [*MARIADBD, *settings], "mysql", INSTALL) as there:
        up = lambda: fleet.run(server, "mariadb", *options, "--execute", "SELECT 1").returncode == 0  # noqa: E731
        fleet.eventually(up, 60)
        sql(fleet, server, f"CREATE DATABASE insync; {CREATE}", *options)
        # The table is on the disk; what is written to it may not be.
        fleet.ok(server, "sync", "-f", PLACE)
        found = [one_cut(fleet, there, server, given, look=look) for _ in range(CONTROL_CUTS)]
    unlogged = len(found[-1][2])
    drills.note_power("MariaDB", " ".join(settings), CONTROL_CUTS, *totals(found), unlogged)
    assert not loses_rows or all(lost for _, lost, _ in found), "the harness is broken: nothing was lost"
    assert all(seen for _, _, seen in found), "the harness is broken: nothing is missing in the binary log"


# Redis.


def test_redis_loses_nothing_that_it_answered(fleet, drills):
    server, service = web.REDIS_USERS["periodic_mailer"]
    given = {"kind": "redis", "host": f"{REDIS}.{DOMAIN}", "port": INVENTORY["services"][service]["port"], "ca": CA}
    given.update(user="periodic_mailer", password=web.SECRETS["redis"]["periodic_mailer_password"])
    given["prefix"] = "periodic_mailer:lab-power:"
    with disk(fleet, REDIS, "/var/lib/redis/main", "redis-server@main") as there:
        found = [one_cut(fleet, there, server, given) for _ in range(CUTS)]
    drills.note_power("redis, the durable instance", "as declared", CUTS, *totals(found))
    assert [lost for _, lost, _ in found] == [[]] * CUTS
    fleet.eventually(lambda: web.missing(fleet, QUEUE, "periodic_mailer") == [], 60, why="redis is missed")
    nothing_to_do(fleet, REDIS)


LOOPBACK = {"host": "127.0.0.1", "port": 16379}
REDIS_SERVER = ["redis-server", "--bind", LOOPBACK["host"], "--port", str(LOOPBACK["port"]), "--dir", PLACE]


@pytest.mark.parametrize("settings", [["--appendonly", "yes", "--appendfsync", "no"], ["--appendonly", "no"]])
def test_a_redis_that_does_not_sync_is_seen_to_lose(fleet, drills, settings):
    with control(fleet, REDIS, [*REDIS_SERVER, *settings], "redis") as there:
        given = {"kind": "redis", **LOOPBACK}
        found = [one_cut(fleet, there, REDIS, given) for _ in range(CONTROL_CUTS)]
    drills.note_power("redis", " ".join(settings), CONTROL_CUTS, *totals(found))
    assert all(lost for _, lost, _ in found), "the harness is broken: nothing was lost"


# The queue.


def test_the_queue_loses_nothing_that_it_answered(fleet, drills):
    given = {"kind": "queue", "tube": "lab-power", "host": ADDRESS[0], "port": ADDRESS[1]}
    with disk(fleet, QUEUE, "/var/lib/beanstalkd", "beanstalkd") as there:
        found = [one_cut(fleet, there, QUEUE, given) for _ in range(CUTS)]
    drills.note_power("beanstalkd", "as declared", CUTS, *totals(found))
    assert [lost for _, lost, _ in found] == [[]] * CUTS
    fleet.eventually(lambda: web.missing(fleet, QUEUE, "mailer") == [], 60, why="the mailer is not ready")
    assert "lab-power" not in queue_status(fleet)["tubes"], "jobs of the drill are left"
    nothing_to_do(fleet, QUEUE)


@pytest.mark.parametrize("settings", [["-b", PLACE, "-F"], []], ids=["never synced", "no log"])
def test_a_queue_that_does_not_sync_is_seen_to_lose(fleet, drills, settings):
    command = ["beanstalkd", "-l", LOOPBACK["host"], "-p", str(LOOPBACK["port"]), *settings]
    given = {"kind": "queue", "tube": "lab-power", **LOOPBACK}
    with control(fleet, QUEUE, command, "beanstalkd") as there:
        found = [one_cut(fleet, there, QUEUE, given) for _ in range(CONTROL_CUTS)]
    drills.note_power("beanstalkd", " ".join(settings) or "no -b", CONTROL_CUTS, *totals(found))
    assert all(lost for _, lost, _ in found), "the harness is broken: nothing was lost"
