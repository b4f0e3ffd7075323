"""Back to any transaction after a backup, and from the loss of both databases, by the bucket and the offline key."""

import random
import re
import subprocess
import time

import insync_db_archive
import pytest

from lab import age
from lab.paths import KEYS
from tests.fleet import web
from tests.fleet.backups import Bucket, newest_left
from tests.fleet.conftest import ROOT
from tests.fleet.test_7_database import DATA, PRIMARY, REPLICA, call, sql, well
from tests.fleet.test_7_failover_drills import PAIR, checked, nothing_to_do
from tests.fleet.test_7_sabotage_drills import HOME, TIMER, made, pushed
from tests.fleet.writers import TABLE, writing

pytestmark = pytest.mark.full_size
KEY = "/run/ops.key"
DUMPS = f"{HOME}/restored"
LOST = "/root/lab-lost"
# Of the drill that goes back: rows, in so many binary logs, and how often.
ROWS, LOGS, TIMES = 200, 8, 5
# Of the drill of the loss: data beside what the fleet has, and what may be lost of what was written.
MEGABYTES, WINDOW, LONGEST = 600, 300, 900
BALLAST = "insync.lab_ballast"


@pytest.fixture(scope="module")
def bucket():
    return Bucket()


@pytest.fixture(scope="module", autouse=True)
def clean(fleet, bucket):
    """In the end all is as before."""
    well(fleet)
    with newest_left(bucket):
        try:
            yield
        finally:
            fleet.run(REPLICA, "rm", "-f", KEY)
            fleet.run(REPLICA, "sh", "-c", f"rm -f {DUMPS}/lab_history-*")
            tables = f"DROP TABLE IF EXISTS {TABLE}; DROP TABLE IF EXISTS {BALLAST}"
            sql(fleet, PRIMARY, f"DROP DATABASE IF EXISTS lab_history; DROP DATABASE IF EXISTS lab_restored; {tables}")
            well(fleet)


def brought(fleet):
    """The key that is on no server is brought by who has it."""
    fleet.ok(REPLICA, "install", "-m", "0600", "/dev/stdin", KEY, stdin=age.kept(KEYS, "ops")[1])


class History:
    """A backup, and rows after it, ``gtids`` (dict: row -> the GTID that wrote it); then all of them are dropped."""

    def __init__(self, fleet, bucket):
        sql(fleet, PRIMARY, "CREATE DATABASE lab_history; CREATE TABLE lab_history.t (id INT PRIMARY KEY)")
        well(fleet)
        self.backup, self.gtids = made(fleet)["id"], {}
        manifest = bucket.manifest(self.backup)
        self.folder = f"{insync_db_archive.LOGS}/{manifest['server']}/{manifest['lineage']}/"
        before, each = bucket.keys(self.folder), ROWS // LOGS
        for first in range(1, ROWS, each):
            rows = range(first, first + each)
            script = "".join(f"INSERT INTO lab_history.t VALUES ({row}); SELECT @@last_gtid;" for row in rows)
            self.gtids |= dict(zip(rows, sql(fleet, PRIMARY, script).split(), strict=True))
            well(fleet)
            if first == ROWS // 2 + 1 - each:
                # A moment between two of them, with nothing in its second.
                time.sleep(1.5)
                self.moment = fleet.ok(REPLICA, "date", "--utc", "+%F %T").strip()
                time.sleep(1.5)
            pushed(fleet)
        sql(fleet, PRIMARY, "DROP TABLE lab_history.t")
        well(fleet)
        pushed(fleet)
        self.logs = sorted(set(bucket.keys(self.folder)) - set(before))


@pytest.fixture(scope="module")
def history(fleet, bucket):
    fleet.ok(REPLICA, "systemctl", "stop", TIMER)
    brought(fleet)
    try:
        yield History(fleet, bucket)
    finally:
        fleet.ok(REPLICA, "systemctl", "start", TIMER)


def restored(fleet, history, *words):
    """Restore the database as it was, into a file: what the verb says."""
    told = [f"identity={KEY}", f"backup={history.backup}", "database=lab_history", *words]
    return call(fleet, REPLICA, "insync.backup_restore", *told)


def rows(fleet, file):
    """The rows that the dump ``file`` on the replica has, once it is loaded."""
    sql(fleet, PRIMARY, "CREATE OR REPLACE DATABASE lab_restored")
    fleet.ok(PRIMARY, "mariadb", "lab_restored", stdin=fleet.ok(REPLICA, "cat", file))
    return [int(row) for row in sql(fleet, PRIMARY, "SELECT id FROM lab_restored.t ORDER BY id").split()]


def untouched(fleet):
    """What has to be as before where nothing is to be touched."""
    script = f"systemctl show -P MainPID mariadb; cat {DATA}/.insync-seed.json; find {DATA}.incoming {HOME} -type f"
    return fleet.run(REPLICA, "sh", "-c", f"{script} ! -name '*.json' ! -name '*.jsonl' -printf '%p %T@\\n'").stdout


def test_any_transaction_after_a_backup_can_be_gone_back_to(fleet, drills, history):
    server = fleet.ok(REPLICA, "systemctl", "show", "-P", "MainPID", "mariadb")
    chosen = sorted(random.sample(sorted(history.gtids), TIMES))
    for row in chosen:
        done = restored(fleet, history, f"until={history.gtids[row]}", "test=False")
        assert isinstance(done, dict), (row, done)
        assert history.gtids[row] in done["until"].split(",")
        assert rows(fleet, done["target"]) == list(range(1, row + 1)), f"back to row {row} of {chosen}"
        outcome = f"{row} rows of {row}, out of {done['logs']} binary logs, in {done['seconds']:.0f} s"
        drills.note_backup(f"back to one of {ROWS} transactions, at random", outcome)
    assert fleet.ok(REPLICA, "systemctl", "show", "-P", "MainPID", "mariadb") == server
    well(fleet)


def test_a_moment_can_be_gone_back_to(fleet, drills, history):
    done = restored(fleet, history, f'until="{history.moment}"', "test=False")
    assert isinstance(done, dict), done
    assert rows(fleet, done["target"]) == list(range(1, ROWS // 2 + 1))
    drills.note_backup("back to a moment", f"{ROWS // 2} rows of {ROWS // 2}, in {done['seconds']:.0f} s")


def test_a_gap_in_the_binary_logs_is_refused_before_anything_is_touched(fleet, drills, bucket, history):
    before, gap = untouched(fleet), history.logs[len(history.logs) // 2]
    number = int(re.search(r"\.(\d+)\.zst", gap)[1])
    with bucket.without(gap):
        for words in (["test=True"], ["test=False"], ["test=False", f"until={history.gtids[ROWS]}"]):
            said = restored(fleet, history, *words)
            assert f"logs: binary logs are missing: [{number}]" in str(said), said
        assert untouched(fleet) == before
    assert isinstance(restored(fleet, history, "test=True"), dict)
    drills.note_backup("back over a gap in the binary logs", "refused, nothing touched")


def test_a_moment_that_is_not_there_is_refused(fleet, history):
    before = untouched(fleet)
    domain, server, number = history.gtids[1].split("-")
    earlier, later = f"{domain}-{server}-1", f"{domain}-{server}-{int(number) + 10**6}"
    assert "until: " in str(restored(fleet, history, f"until={earlier}", "test=False"))
    assert untouched(fleet) == before
    assert f"before {later}" in str(restored(fleet, history, f"until={later}", "test=False"))
    assert "is no GTID" in str(restored(fleet, history, "until=yesterday", "test=False"))
    well(fleet)


def written():
    """The procedure as it is written, as (server, command)."""
    page = (ROOT / "docs" / "roles" / "mysql_replica.md").read_text(encoding="utf-8")
    block = page.split("**Both servers are lost**")[1].split("```")[1]
    lines = [re.sub(r"\s{2,}#.*", "", line) for line in block.strip().splitlines()]
    found = [re.fullmatch(r"(?:alice@)?([\w-]+)(?:#|:~\$ sudo) (.+)", line) for line in lines]
    assert all(found), lines
    return [one.groups() for one in found]


def heavy(fleet):
    """Give both databases a table of that size, each by itself: it is to be restored, not to be replicated."""
    each, row = 100_000, 270
    script = (
        "USE insync; SET sql_log_bin = 0;"
        f"CREATE OR REPLACE TABLE {BALLAST} (id INT PRIMARY KEY, text VARCHAR(256) CHARSET ascii);"
    )
    for first in range(1, MEGABYTES * 10**6 // row, each):
        text = ", ".join(f"MD5(seq + {number})" for number in range(8))
        script += f"INSERT INTO {BALLAST} SELECT seq, CONCAT({text}) FROM seq_{first}_to_{first + each - 1};"
    begun = [
        subprocess.Popen(
            ["podman", "exec", "-i", f"insync-{server}", "mariadb"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for server in PAIR
    ]
    for process in begun:
        process.stdin.write(script.encode())
        process.stdin.close()
    for process in begun:
        assert process.wait(900) == 0, process.stderr.read()


def size(fleet, server):
    return int(sql(fleet, server, "SELECT SUM(data_length + index_length) FROM information_schema.tables")) / 10**6


def put_at(fleet):
    """When the last binary logs were put into the bucket, as the replica has noted it."""
    return re.search(r'"binlogs": \{[^}]*"at": "([^"]+)"', fleet.ok(REPLICA, "cat", f"{HOME}/backups.json"))[1]


def lose(fleet):
    """Both are killed at once, and there is nothing where their data was."""
    everything = f"find {DATA} -mindepth 1 -maxdepth 1 -exec mv -t {LOST} {{}} +"
    script = f"systemctl kill --signal=KILL mariadb; systemctl stop mariadb; rm -rf {LOST}; mkdir -m 0700 {LOST}"
    argv = ["sh", "-c", f"{script} && {everything}"]
    begun = [subprocess.Popen(["podman", "exec", f"insync-{server}", *argv]) for server in PAIR]
    assert [process.wait(120) for process in begun] == [0, 0]


def as_written(fleet, since):
    """Bring them back, command by command; return the seconds from ``since`` until a customer can sign up again."""
    ready = None
    for server, command in written():
        stdin = age.kept(KEYS, "ops")[1] if "/dev/stdin" in command else None
        fleet.ok(server, "sh", "-c", command, stdin=stdin, timeout=LONGEST)
        if "failover_db" in command:
            fleet.eventually(lambda: web.sign_up(fleet, web.address("loss"))[0] == 201, 60)
            ready = time.monotonic() - since
    return ready


def same(fleet):
    """Whether all tables of both have the same rows, once nobody writes; but for the heartbeat."""
    named = "SELECT GROUP_CONCAT(table_schema, '.', table_name) FROM information_schema.tables"
    named += " WHERE table_schema LIKE 'insync%' AND table_type = 'BASE TABLE' AND table_name <> 'heartbeat'"
    tables = sql(fleet, PRIMARY, f"SET group_concat_max_len = 1000000; {named}")
    sums = [sql(fleet, server, f"CHECKSUM TABLE {tables} EXTENDED") for server in PAIR]
    return sums[0] == sums[1] and "NULL" not in sums[0]


def test_both_databases_are_lost_and_come_back_from_the_bucket_and_the_offline_key(fleet, drills, bucket):
    heavy(fleet)
    backup, megabytes = made(fleet), size(fleet, PRIMARY)
    before = put_at(fleet)
    with writing(fleet, PRIMARY, [PRIMARY], pause=0.05) as writers:
        # By its timer, and nobody else; some time after that it happens.
        fleet.eventually(lambda: put_at(fleet) != before, WINDOW + 60, why="no binary logs were put")
        time.sleep(random.uniform(30, 120))
        since = time.monotonic()
        lose(fleet)
    seconds = as_written(fleet, since)
    whole = time.monotonic() - since
    lost, sums = checked(fleet, PRIMARY, writers)
    assert len(sums) == 1 and len(lost) < len(writers.rows), (len(lost), len(writers.rows))
    fleet.eventually(lambda: same(fleet), 30, why="the two databases differ")
    missing, last = set(lost), writers.rows[-1][1]
    # From the first one that is lost to the last that was answered.
    window = last - min((when for row, when, _ in writers.rows if row in missing), default=last)
    assert window <= WINDOW and seconds <= LONGEST, (window, seconds)
    outcome = f"{megabytes:.0f} MB ({backup['bytes'] / 10**6:.0f} MB in the bucket): a customer signs up after"
    outcome += f" {seconds:.0f} s, both run after {whole:.0f} s; of {len(writers.rows)} rows {len(lost)} are lost,"
    drills.note_backup("both databases lost", f"{outcome} those of the last {window:.0f} s")
    for server in PAIR:
        fleet.ok(server, "rm", "-rf", LOST)
    nothing_to_do(fleet)
