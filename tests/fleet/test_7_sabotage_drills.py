"""Backups of the database that are no good, each in its own way: all are found, with the stage, and no good one is."""

import contextlib
import datetime
import json
import re
import subprocess

import insync_db_archive
import pytest

from lab import age, podman
from lab.paths import KEYS
from tests.fleet import web
from tests.fleet.backups import NAME, PHYSICAL, Bucket, newest_left
from tests.fleet.release import full
from tests.fleet.test_7_database import PRIMARY, REPLICA, TIMER, VERIFIER, call, sql, well
from tests.fleet.writers import TABLE, writing

pytestmark = pytest.mark.full_size
CLEAN = 25
HOME = "/var/lib/insync/db"
# Every kind of thing that a backup may lack, as it is before and after.
BEFORE = """
CREATE DATABASE lab_sabotage; USE lab_sabotage;
CREATE TABLE changed (id INT PRIMARY KEY, text VARCHAR(20)); INSERT INTO changed VALUES (1, 'a'), (2, 'b');
CREATE TABLE emptied LIKE changed; INSERT INTO emptied SELECT * FROM changed;
CREATE TABLE gone LIKE changed;
CREATE TABLE large (id INT PRIMARY KEY, text CHAR(96)) AS SELECT seq AS id, SHA2(seq, 384) AS text FROM seq_1_to_100000;
CREATE VIEW seen AS SELECT id FROM changed;
CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1;
CREATE TRIGGER upper BEFORE INSERT ON changed FOR EACH ROW SET NEW.text = UPPER(NEW.text);
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM lab_sabotage.emptied;
CREATE USER lab_sabotage@localhost;
"""
AFTER = """
USE lab_sabotage;
UPDATE changed SET text = 'c' WHERE id = 2; DELETE FROM emptied; DROP TABLE gone; CREATE TABLE more LIKE changed;
DROP VIEW seen; DROP FUNCTION one; DROP TRIGGER upper; DROP EVENT daily; DROP USER lab_sabotage@localhost;
"""
REMOVE = "DROP DATABASE IF EXISTS lab_sabotage; DROP USER IF EXISTS lab_sabotage@localhost"
LACKING = {
    "views": "views: lab_sabotage.seen is missing",
    "routines": "routines: lab_sabotage.one.FUNCTION is missing",
    "triggers": "triggers: lab_sabotage.upper is missing",
    "events": "events: lab_sabotage.daily is missing",
    "users": "users: lab_sabotage@localhost is missing",
}
TABLES = {
    "changed": "table lab_sabotage.changed has other rows than it had",
    "emptied": "table lab_sabotage.emptied has 0 rows, and had 2",
    "gone": "table lab_sabotage.gone is missing",
    "more": "table lab_sabotage.more is too much",
}


class Backup:
    """A good one, and what was there before the last changes."""

    def __init__(self, fleet, bucket):
        sql(fleet, PRIMARY, REMOVE + "; " + BEFORE)
        well(fleet)
        self.before = bucket.manifest(made(fleet)["id"])
        sql(fleet, PRIMARY, AFTER)
        well(fleet)
        self.manifest = bucket.manifest(made(fleet)["id"])
        self.body = bucket.get(self.manifest["key"])[0]
        # So many logs that one in the middle may be missing.
        for _ in range(3):
            pushed(fleet)
        folder = f"{insync_db_archive.LOGS}/{self.manifest['server']}/{self.manifest['lineage']}/"
        self.logs = sorted(bucket.keys(folder))[-3:]
        self.other = encrypted(fleet, age.make()[0], b"whatever")
        verifier = age.kept(KEYS, "verify")[0]
        self.garbage = encrypted(fleet, verifier, b"whatever")
        self.nothing = encrypted(fleet, verifier, b"", "zstd --stdout |")


def made(fleet, *words):
    said = call(fleet, REPLICA, "insync.backup", *words)
    assert isinstance(said, dict), said
    return said


def pushed(fleet):
    """Close the binary log, and put it into the bucket."""
    assert made(fleet, "kind=binlogs")["logs"]


def encrypted(fleet, recipient, text, before=""):
    """Return ``text`` (bytes) encrypted to ``recipient`` (str); before (str): what it goes through first."""
    argv = podman.inside(REPLICA, "sh", "-c", f'{before} age --recipient "$0"', recipient)
    return subprocess.run(argv, input=text, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def bucket():
    return Bucket()


@pytest.fixture(scope="module", autouse=True)
def clean(fleet, bucket):
    """Nobody else puts binary logs meanwhile; in the end all is as before."""
    well(fleet)
    with newest_left(bucket):
        fleet.ok(REPLICA, "systemctl", "stop", TIMER)
        try:
            yield
        finally:
            fleet.ok(REPLICA, "systemctl", "start", TIMER)
            sql(fleet, PRIMARY, f"{REMOVE}; DROP TABLE IF EXISTS {TABLE}")
            well(fleet)


@pytest.fixture(scope="module")
def good(fleet, bucket, clean):
    return Backup(fleet, bucket)


@pytest.fixture(scope="module")
def events(fleet):
    """What is said on the master's bus of verified backups while the drills run; call it to read."""
    file = "/run/lab-events"
    script = f"echo $$ > {file}.pid; exec timeout 3600 salt-run state.event 'insync/backup/*' > {file} 2>&1"
    argv = podman.inside("ct1", "sh", "-c", script)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        # It has nothing to say of when it begins to listen.
        ours = "event.fire_master", "{}", "insync/backup/begin"
        heard = lambda: call(fleet, VERIFIER, *ours) and "begin" in fleet.ok("ct1", "cat", file)  # noqa: E731
        fleet.eventually(heard, 60)
        yield lambda: fleet.ok("ct1", "cat", file)
    finally:
        fleet.run("ct1", "sh", "-c", f"kill $(cat {file}.pid); rm -f {file} {file}.pid")
        process.wait(30)


# What may be wrong with one that is in the bucket: a stage, and how it comes to be, of the bucket and a good one.


def cut(body):
    return body[: len(body) * 2 // 3]


def flipped(body):
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def dropped(body):
    """Without a whole chunk of age's, 64 KiB and its tag."""
    middle = len(body) // 2
    return body[:middle] + body[middle + 2**16 + 16 :]


def damaged(spoil):
    """The object was spoiled after it was put."""
    return lambda bucket, good: bucket.another(good.manifest, spoil(good.body), sha256=good.manifest["sha256"])


def false(spoil):
    """What was put was no good from the beginning, and its checksum fits."""
    return lambda bucket, good: bucket.another(good.manifest, spoil(good.body))


def told(**facts):
    """Its manifest says something else."""
    return lambda bucket, good: bucket.another(good.manifest, good.body, **facts)


def lacks(kind):
    """Something is not in it that was there before."""

    def spoil(bucket, good):
        objects = {**good.manifest["objects"], kind: good.before["objects"][kind]}
        return bucket.another(good.manifest, good.body, objects=objects)

    return spoil


def differs(table):
    """A table is not as it was before."""

    def spoil(bucket, good):
        name, tables = f"lab_sabotage.{table}", dict(good.manifest["tables"])
        tables.pop(name, None)
        if name in good.before["tables"]:
            tables[name] = good.before["tables"][name]
        return bucket.another(good.manifest, good.body, tables=tables)

    return spoil


def late(bucket, good):
    """Its newest heartbeat was ten minutes old when it was made."""
    backup = bucket.new_id()
    beat = insync_db_archive.time_of(backup) - datetime.timedelta(minutes=10)
    return bucket.another(good.manifest, good.body, backup, heartbeat=f"{beat:%Y-%m-%d %H:%M:%S}")


@contextlib.contextmanager
def old(bucket, good):
    """The newest is good, and of the day before yesterday."""
    backup = insync_db_archive.new_id(datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=30))
    with none(bucket, good), bucket.another(good.manifest, good.body, backup):
        yield backup


@contextlib.contextmanager
def none(bucket, good):
    """There is no backup any more: all of their manifests are away for a while."""
    keys = [key for key in bucket.keys(f"{PHYSICAL}/") if key.endswith(insync_db_archive.MANIFEST)]
    with bucket.without(*keys):
        yield ""


@contextlib.contextmanager
def log(bucket, good, change):
    with change(bucket, good.logs[1]), bucket.another(good.manifest, good.body) as backup:
        yield backup


def log_missing(bucket, good):
    return log(bucket, good, lambda bucket, key: bucket.without(key))


def log_damaged(bucket, good):
    return log(bucket, good, lambda bucket, key: bucket.instead(key, flipped(bucket.get(key)[0])))


def log_false(bucket, good):
    return log(bucket, good, lambda bucket, key: bucket.instead(key, good.garbage, sound=True))


SPOILED = {
    "object cut short": ("checksum", damaged(cut)),
    "a bit of the object flipped": ("checksum", damaged(flipped)),
    "a chunk of the object lost": ("checksum", damaged(dropped)),
    "wrong checksum in the manifest": ("checksum", told(sha256="0" * 64)),
    "cut short before it was put": ("decrypt", false(cut)),
    "a bit flipped before it was put": ("decrypt", false(flipped)),
    "a chunk lost before it was put": ("decrypt", false(dropped)),
    "encrypted to somebody else": (
        "decrypt",
        lambda bucket, good: bucket.another(good.manifest, good.other),
    ),
    "something else, well encrypted": (
        "decrypt",
        lambda bucket, good: bucket.another(good.manifest, good.garbage),
    ),
    "nothing, well encrypted": ("prepare", lambda bucket, good: bucket.another(good.manifest, good.nothing)),
    "manifest without object": ("fetch", lambda bucket, good: bucket.another(good.manifest, None)),
    "object without manifest": ("manifest", lambda bucket, good: bucket.another(good.manifest, good.body, text=b"")),
    "half a manifest": ("manifest", lambda bucket, good: bucket.another(good.manifest, good.body, text=b'{"id": "')),
    "manifest of another backup": (
        "manifest",
        lambda bucket, good: bucket.another(good.manifest, good.body, text=json.dumps(good.manifest).encode()),
    ),
    "manifest with no tables": ("manifest", told(tables={})),
    "of a newer MariaDB": ("version", told(server_version="11.8.2-MariaDB-log")),
    "made of a stale replica": ("heartbeat", late),
    "the newest is 30 hours old": ("age", old),
    "there is none": ("age", none),
    "a binary log missing": ("logs", log_missing),
    "no binary log goes on from it": ("logs", told(lineage="nobody")),
    "a bit of a binary log flipped": ("checksum", log_damaged),
    "a binary log that is none": ("logs", log_false),
    **{f"{kind} that are missing": ("compare", lacks(kind)) for kind in LACKING},
    **{f"a table that is {table}": ("compare", differs(table)) for table in TABLES},
}


def test_a_backup_like_the_good_one_is_good(fleet, bucket, good):
    """The control: what makes the others bad is what was done to them, and nothing else."""
    with bucket.another(good.manifest, good.body) as backup:
        said = call(fleet, VERIFIER, "insync.backup_verify")
        assert isinstance(said, dict) and (said["id"], said["outcome"]) == (backup, "good"), said
        assert bucket.said(backup)["outcome"] == "good"


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_backup_is_found(fleet, drills, bucket, good, events, name):
    stage, spoil = SPOILED[name]
    with spoil(bucket, good) as backup:
        # One without a manifest does not exist: somebody has to ask for it.
        words = [f"backup={backup}"] if name == "object without manifest" else []
        said = str(call(fleet, VERIFIER, "insync.backup_verify", *words))
        assert re.match(rf"(ERROR: )?{stage}: ", said), said
        if stage == "compare":
            assert {**LACKING, **TABLES}[name.split()[0] if "missing" in name else name.split()[-1]] in said
        if stage != "age":
            recorded = bucket.said(backup)
            wanted = "restored, but differs" if stage in ("compare", "heartbeat") else "failed"
            assert recorded["outcome"] == wanted and recorded["reason"].startswith(f"{stage}: ")
        failed = rf'(?m)^insync/backup/failed.*"id": "{backup}"'
        fleet.eventually(lambda: re.search(failed, events()), 20, why="no event tells of it")
    drills.note_backup(name, f"found: {stage}")


# What may go wrong while one is made: what is said of it, and how it comes to be.


@contextlib.contextmanager
def applier_stopped(fleet):
    sql(fleet, REPLICA, "STOP SLAVE SQL_THREAD")
    try:
        yield
    finally:
        sql(fleet, REPLICA, "START SLAVE SQL_THREAD")


@contextlib.contextmanager
def behind(fleet):
    delay = "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = {}; START SLAVE"
    sql(fleet, REPLICA, delay.format(3600))
    try:
        aged = "SET sql_log_bin = 0; UPDATE insync_fleet.heartbeat SET at = at - INTERVAL 1 HOUR"
        sql(fleet, REPLICA, aged)
        # It receives, and applies nothing yet: as one does that is too slow.
        threads = "SHOW SLAVE STATUS\\G"
        runs = lambda: fleet.ok(REPLICA, "mariadb", "-e", threads).count("_Running: Yes") == 2  # noqa: E731
        fleet.eventually(runs, 30, why="replication does not run")
        yield
    finally:
        sql(fleet, REPLICA, delay.format(0))


def down(fleet):
    return web.Stopped(fleet, REPLICA, "mariadb")


def disk_full(fleet):
    return full(fleet, REPLICA, HOME)


@contextlib.contextmanager
def read_only(fleet):
    fleet.ok(REPLICA, "sh", "-c", f"mount --bind {HOME} {HOME} && mount -o remount,bind,ro {HOME}")
    try:
        yield
    finally:
        fleet.ok(REPLICA, "umount", HOME)


@contextlib.contextmanager
def killed(fleet, program):
    """As soon as ``program`` (str, of pgrep) runs there, it is killed."""
    with when_running(program, "kill -KILL $pid"):
        yield


@contextlib.contextmanager
def when_running(program, then):
    """Run ``then`` (str) on the replica, where $pid is that of ``program``, as soon as that runs; yield its process."""
    script = f"until pid=$(pgrep -x '{program}'); do :; done; {then}"
    argv = podman.inside(REPLICA, "timeout", "60", "sh", "-c", script)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield process
        assert process.wait(70) == 0, f"{program} was not seen to run"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def store_says(fleet, directive):
    """Let the store answer as ``directive`` (str, of nginx) says whoever asks for this bucket."""
    file = "/etc/nginx/nginx.conf"
    text = fleet.ok("cloud", "cat", file)
    place = "        proxy_set_header Host $http_host;\n"
    assert text.count(place) == 1
    more = f"        location ^~ /{NAME} {{\n            default_type application/xml;\n{directive}\n        }}\n"
    try:
        podman.write("cloud", file, text.replace(place, place + more))
        fleet.ok("cloud", "systemctl", "restart", "nginx")
        yield
    finally:
        podman.write("cloud", file, text)
        fleet.ok("cloud", "systemctl", "restart", "nginx")


def answers(status, code):
    text = f"return {status} '<Error><Code>{code}</Code><Message>sabotage</Message></Error>';"
    return lambda fleet: store_says(fleet, text)


def cuts(fleet):
    """The store lets everybody look, and ends the connection as soon as something is put."""
    return store_says(fleet, "if ($request_method = PUT) { return 444; }\nproxy_pass http://127.0.0.1:7480;")


@contextlib.contextmanager
def hangs(fleet):
    fleet.ok("cloud", "systemctl", "kill", "--signal=STOP", "nginx")
    try:
        yield
    finally:
        fleet.ok("cloud", "systemctl", "kill", "--signal=CONT", "nginx")


PHYSICALLY, LOGICALLY = "kind=physical", "kind=logical"
BROKEN = {
    "applier stopped": ("stale data: the applier does not run", applier_stopped, PHYSICALLY),
    "replica behind": ("stale data: it is behind", behind, PHYSICALLY),
    "server down": ("Can't connect", down, PHYSICALLY),
    "server down, dumps": ("Can't connect", down, LOGICALLY),
    "disk full": (r"MiB are free|No space left", disk_full, PHYSICALLY),
    "disk full, dumps": (r"MiB are free|No space left", disk_full, LOGICALLY),
    "disk read-only": ("Read-only file system", read_only, PHYSICALLY),
    "mariadb-backup killed": ("mariadb-backup: ", lambda fleet: killed(fleet, "mariadb-backup"), PHYSICALLY),
    "age killed": ("age: ", lambda fleet: killed(fleet, "age"), PHYSICALLY),
    "dump killed": ("automysqlbackup: ", lambda fleet: killed(fleet, "mysqldump|mariadb-dump"), LOGICALLY),
    "store: 403": (r"access is denied \(403\)", lambda fleet: Bucket().refusing(), PHYSICALLY),
    "store: no such bucket": ("the bucket does not exist", answers(404, "NoSuchBucket"), PHYSICALLY),
    "store: 503": ("it answers 503", answers(503, "SlowDown"), PHYSICALLY),
    "store: unreachable": ("connection refused", lambda fleet: web.Stopped(fleet, "cloud", "nginx"), PHYSICALLY),
    "store: hangs": ("does not answer in time", hangs, PHYSICALLY),
    "store: cuts the upload": ("cuts the connection", cuts, PHYSICALLY),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_goes_wrong_while_a_backup_is_made_is_told_and_leaves_none(fleet, drills, bucket, good, name):
    reason, broken, kind = BROKEN[name]
    manifests = lambda: [key for key in bucket.keys() if key.endswith(insync_db_archive.MANIFEST)]  # noqa: E731
    before = manifests()
    with broken(fleet):
        said = call(fleet, REPLICA, "insync.backup", kind)
    assert not isinstance(said, dict) and re.search(reason, str(said)), said
    assert "Traceback" not in str(said) and len(str(said).splitlines()) == 1
    assert manifests() == before, "there is a backup that is none"
    assert fleet.run(REPLICA, "ls", f"{HOME}/spool").returncode != 0, "what it made is still there"
    well(fleet)
    drills.note_backup(name, f"found: {reason.split('|')[0]}".replace("\\", ""))


def begun(*words):
    """A backup that runs beside the test, on the replica itself."""
    script = 'echo $$ > /run/lab-backup.pid; exec salt-call --out=json --log-level=critical insync.backup "$@"'
    argv = podman.inside(REPLICA, "sh", "-c", script, "sh", *words)
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def test_of_two_at_once_the_second_is_refused_and_the_first_is_good(fleet, drills, good):
    with when_running("mariadb-backup", "kill -STOP $pid; echo $pid") as stopped:
        first = begun()
        pid = stopped.stdout.readline().strip()
        try:
            said = call(fleet, REPLICA, "insync.backup")
        finally:
            fleet.ok(REPLICA, "kill", "-CONT", pid)
        answer, _ = first.communicate(timeout=120)
    assert "insync.backup is running, by root, since " in str(said), said
    assert first.returncode == 0 and json.loads(answer)["local"]["id"] in answer
    drills.note_backup("two at once", "found: is running")


def test_one_that_is_killed_leaves_no_backup_and_a_replica_that_goes_on(fleet, drills, bucket, good):
    before = bucket.ids()
    with when_running("mariadb-backup", "kill -KILL $(cat /run/lab-backup.pid)"):
        first = begun()
        first.communicate(timeout=120)
    assert first.returncode != 0
    # Within a minute, by itself.
    well(fleet)
    assert bucket.ids() == before
    made(fleet)
    drills.note_backup("the verb itself killed", "found: exit code; the replica goes on, the next one is good")


def test_good_ones_are_called_good_while_many_write(fleet, drills, bucket):
    """One after the other, of data that changes all the time, each restored and compared: no false alarm."""
    false_alarms, seconds = [], []
    with writing(fleet, PRIMARY, [PRIMARY], pause=0.05):
        for number in range(CLEAN):
            backup = made(fleet)
            if number % 2:
                pushed(fleet)
            said = call(fleet, VERIFIER, "insync.backup_verify")
            wanted = (backup["id"], "good", backup["rows"])
            if not isinstance(said, dict) or (said["id"], said["outcome"], said["rows"]) != wanted:
                false_alarms.append(said)
            else:
                seconds.append((backup["seconds"], said["seconds"]))
    assert false_alarms == [] and len(seconds) == CLEAN
    made_in, verified_in = (sorted(column)[CLEAN // 2] for column in zip(*seconds, strict=True))
    told = f"0 false alarms; made in {made_in:.1f} s, verified in {verified_in:.1f} s (medians)"
    drills.note_backup(f"{CLEAN} good ones under 8 writers", told)
