"""The pair of databases as clients and operators see it: one is written, the other follows, both can be lost."""

import json

import insync_db
import pytest

from tests.fleet import web
from tests.fleet.conftest import changed, failed, planned

PRIMARY, REPLICA, VERIFIER = "db", "db-slave02", "redis"
SOURCE = f"{PRIMARY}.insync.internal"
DATA = "/var/lib/mysql"
TIMER = "mariadb-backup-binlogs.timer"


def sql(fleet, server, statement):
    return fleet.ok(server, "mariadb", "--batch", "--skip-column-names", "--execute", statement).strip()


def call(fleet, server, function, *arguments):
    """Call a verb; return what it returns, a text if it failed."""
    return fleet.salt(server, function, *arguments)[server]


def well(fleet):
    """Wait until nothing is wrong with either; return what both say."""

    def both():
        found = fleet.salt([PRIMARY, REPLICA], "insync.db_status")
        known = [one for one in found.values() if isinstance(one, dict) and not one["problems"]]
        return found if len(known) == 2 else None

    return fleet.eventually(both, 60, why="the databases do not come to be well")


@pytest.fixture(scope="module", autouse=True)
def clean(fleet):
    well(fleet)
    yield
    sql(fleet, PRIMARY, "DROP DATABASE IF EXISTS lab_database")


def test_one_is_written_and_the_other_confirms_it(fleet):
    found = well(fleet)
    primary, replica = found[PRIMARY], found[REPLICA]
    assert (primary["writable"], replica["writable"]) == (True, False)
    assert (primary["semi_sync"]["on"], primary["semi_sync"]["confirming"]) == (True, 1)
    assert replica["replication"]["source"] == SOURCE and replica["replication"]["semi_sync"]
    assert replica["heartbeat"]["server"] == PRIMARY and replica["heartbeat"]["age"] < 60


def test_what_a_customer_writes_is_on_both(fleet):
    email = web.address("replica")
    assert web.sign_up(fleet, email)[0] == 201
    wanted = f"SELECT COUNT(*) FROM insync.users WHERE email = '{email}'"
    assert sql(fleet, PRIMARY, wanted) == "1"
    fleet.eventually(lambda: sql(fleet, REPLICA, wanted) == "1", 10)


def test_both_have_one_configuration(fleet):
    show = ["grep", "-Ev", "server_id|bind_address", "/etc/mysql/mariadb.conf.d/70-insync.cnf"]
    assert fleet.ok(PRIMARY, *show) == fleet.ok(REPLICA, *show)


LOGIN = f"""
import json, sys, pymysql
given = json.load(sys.stdin)
try:
    pymysql.connect(host={SOURCE!r}, connect_timeout=5, password=given.pop("password").encode(), **given)
    print("in")
except (pymysql.MySQLError, OSError) as exc:
    print(exc.args[0])
"""


@pytest.mark.parametrize("server, tls", [(REPLICA, True), (REPLICA, False), ("web02", True)])
def test_the_replicas_account_enters_from_the_replica_and_by_tls_only(fleet, server, tls):
    how = {"ssl_ca": "/etc/insync/fleet-ca.crt", "ssl_verify_cert": True} if tls else {"ssl_disabled": True}
    given = {"user": "replica", "password": web.SECRETS["mysql_primary"]["replica_password"], **how}
    said = fleet.ok(server, "/opt/salt/bin/python", "-W", "ignore", "-c", LOGIN, stdin=json.dumps(given)).strip()
    # Without TLS, or from elsewhere, it is nobody.
    assert said == ("in" if (server, tls) == (REPLICA, True) else "1045")


def test_drift_of_the_replica_is_foretold_and_mended(fleet):
    sql(fleet, REPLICA, "STOP SLAVE; CHANGE MASTER TO MASTER_SSL_VERIFY_SERVER_CERT = 0; SET GLOBAL read_only = OFF")
    wanted = ["mariadb-replication"]
    (states,) = fleet.highstate(REPLICA, "test=True").values()
    assert planned(states) == wanted
    (states,) = fleet.highstate(REPLICA).values()
    assert (failed(states), changed(states)) == ([], wanted)
    well(fleet)


def test_the_primary_opens_by_itself_after_a_crash(fleet):
    fleet.ok(PRIMARY, "systemctl", "kill", "--signal=KILL", "mariadb")
    fleet.eventually(lambda: fleet.run(PRIMARY, "mariadb", "-Ne", "SELECT @@read_only").stdout.strip() == "0", 40)
    well(fleet)


def test_a_replica_is_never_made_from_foreign_data_and_never_starts_on_half_a_copy(fleet):
    marker = f"{DATA}/.insync-seed.json"
    fleet.ok(REPLICA, "mv", marker, "/root/seed.json")
    try:
        sql(fleet, REPLICA, "CREATE DATABASE lab_foreign")
        done = fleet.salt(REPLICA, "state.sls_id", "mariadb-seeded", "mariadb")
        state = next(one for one in done[REPLICA].values() if one["__id__"] == "mariadb-seeded")
        assert (state["result"], state["changes"]) == (False, {})
        assert f"it has transactions that {SOURCE} has not" in state["comment"]
        assert "lab_foreign" in sql(fleet, REPLICA, "SHOW DATABASES")
    finally:
        # It has something that the primary lacks: it is made anew, beginning with a copy that was cut short.
        fleet.ok(REPLICA, "sh", "-c", f"systemctl stop mariadb; rm -rf {DATA}/* && touch {DATA}/.insync-seeding")
        started = fleet.run(REPLICA, "systemctl", "start", "mariadb")
        (states,) = fleet.highstate(REPLICA).values()
    assert started.returncode != 0, "MariaDB started on half a copy"
    assert failed(states) == []
    assert {"mariadb-seeded", "mariadb-service", "mariadb-replication"} <= set(changed(states))
    well(fleet)
    assert "lab_foreign" not in sql(fleet, REPLICA, "SHOW DATABASES")


def test_a_status_that_cannot_be_known_is_none(fleet):
    fleet.ok(REPLICA, "systemctl", "stop", "mariadb")
    try:
        said = call(fleet, REPLICA, "insync.db_status")
        backup = call(fleet, REPLICA, "insync.backup")
    finally:
        fleet.ok(REPLICA, "systemctl", "start", "mariadb")
    assert "Can't connect" in str(said) and not isinstance(said, dict)
    assert "Can't connect" in str(backup)


@pytest.fixture(scope="module")
def backed_up(fleet):
    """A backup, and a transaction after it that only the binary logs have."""
    sql(fleet, PRIMARY, "CREATE DATABASE IF NOT EXISTS lab_database; CREATE TABLE lab_database.t (id INT PRIMARY KEY)")
    well(fleet)
    made = call(fleet, REPLICA, "insync.backup")
    assert isinstance(made, dict), made
    sql(fleet, PRIMARY, "INSERT INTO lab_database.t VALUES (1)")
    well(fleet)
    logs = call(fleet, REPLICA, "insync.backup", "kind=binlogs")
    assert isinstance(logs, dict) and logs["logs"], logs
    return made


def test_a_backup_is_restored_elsewhere_and_is_the_same(fleet, backed_up):
    said = call(fleet, VERIFIER, "insync.backup_verify")
    assert isinstance(said, dict), said
    assert (said["id"], said["outcome"], said["rows"]) == (backed_up["id"], "good", backed_up["rows"])
    listed = call(fleet, REPLICA, "insync.backups", "limit=1")
    assert [one["verified"] for one in listed["physical"]] == ["good"]
    assert fleet.run(VERIFIER, "ls", "/var/lib/insync-verify").returncode != 0, "what was restored is still there"


@pytest.mark.alone
@pytest.mark.parametrize(
    "server, unit",
    [(REPLICA, "mariadb-backup@binlogs"), (VERIFIER, "db-verifier"), ("ct1", "backup-retention")],
)
def test_what_a_timer_starts_ends_well(fleet, backed_up, server, unit):
    """Its unit sees less of the server than an operator does."""
    fleet.ok(server, "systemctl", "start", unit)
    assert fleet.ok(server, "systemctl", "show", "--property=Result", "--value", unit).strip() == "success"


def test_dumps_are_made_and_looked_at(fleet):
    said = call(fleet, REPLICA, "insync.backup", "kind=logical")
    assert isinstance(said, dict) and said["tables"], said


def test_no_backup_is_made_of_a_replica_that_stands_still(fleet):
    sql(fleet, REPLICA, "STOP SLAVE SQL_THREAD")
    try:
        said = call(fleet, REPLICA, "insync.backup")
    finally:
        sql(fleet, REPLICA, "START SLAVE SQL_THREAD")
    assert "it would be a backup of stale data: the applier does not run" in str(said)


@pytest.mark.alone
def test_a_unit_that_ends_starts_no_replica_that_stands_still_for_another_backup(fleet):
    """It would go on in the middle of the other's copy, which then is not what its manifest says."""
    lock = f"/run/lock/insync-{insync_db.AREA}.lock"
    # Its unit ends as badly, and nobody holds the lock at that moment.
    fleet.ok(REPLICA, "systemctl", "stop", TIMER, "mariadb-backup@binlogs")
    fleet.ok(REPLICA, "systemd-run", "--unit=another-backup", "flock", "--no-fork", lock, "sleep", "120")
    sql(fleet, REPLICA, "STOP SLAVE SQL_THREAD")
    try:
        assert fleet.run(REPLICA, "systemctl", "start", "mariadb-backup@logical").returncode == 1
        assert applies(fleet) == "No"
        # The other one has ended; and this one does not wait until it is started again by itself.
        fleet.ok(REPLICA, "systemctl", "stop", "another-backup", "mariadb-backup@logical")
        # If nobody else is at it, it does.
        assert fleet.run(REPLICA, "systemctl", "start", "mariadb-backup@logical").returncode == 1
        assert applies(fleet) == "Yes"
    finally:
        fleet.run(REPLICA, "systemctl", "stop", "another-backup", "mariadb-backup@logical")
        fleet.ok(REPLICA, "systemctl", "reset-failed")
        fleet.ok(REPLICA, "systemctl", "start", TIMER)
        sql(fleet, REPLICA, "START SLAVE SQL_THREAD")


def applies(fleet):
    """Whether the replica applies what comes: Yes or No."""
    said = fleet.ok(REPLICA, "mariadb", "--execute", r"SHOW SLAVE STATUS\G").split()
    return said[said.index("Slave_SQL_Running:") + 1]


WRITE = f"""
import json, sys, pymysql
given = json.load(sys.stdin)
tls = {{"ssl_ca": "/etc/insync/fleet-ca.crt", "ssl_verify_cert": True}}
password = given.pop("password").encode()
with pymysql.connect(host="{REPLICA}.insync.internal", connect_timeout=3, password=password, **tls, **given) as there:
    try:
        there.cursor().execute("DELETE FROM insync.users WHERE email = 'nobody'")
    except pymysql.MySQLError as exc:
        print(exc.args[0])
"""


def test_who_writes_to_the_primary_enters_the_replica_too_and_writes_nothing(fleet):
    """When it becomes the primary nobody has to be let in first."""
    given = json.dumps({"user": "web", "password": web.SECRETS["mysql_primary"]["web_password"]})
    write = ["/opt/salt/bin/python", "-W", "ignore", "-c", WRITE]
    # --read-only
    assert fleet.ok("web02", *write, stdin=given).strip() == "1290"
    assert "timed out" in fleet.run("wiki", *write, stdin=given).stderr
