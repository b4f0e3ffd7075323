"""What services keep beside the database is backed up, lost, and restored: the same, and by nobody else."""

import json
import re

import botocore.exceptions
import pytest

from lab import podman, s3
from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed
from tests.fleet.test_6_wiki import store as client

BUCKET = "insync_backups"
ASIDE = r"/[^ ]*[._]before_\d{8}t\d{6}"


def where(role):
    """The first server, in production, that plays ``role``."""
    hosts = INVENTORY["hosts"].items()
    return next(name for name, host in hosts if role in host["roles"] and "environment" not in host)


def call(fleet, server, *words):
    (said,) = fleet.salt(server, *words).values()
    return said


def sh(fleet, server, script):
    return fleet.ok(server, "sh", "-c", script)


def sqlite(path, query):
    return f'cd / && python3 -c \'import sqlite3; print(sqlite3.connect("{path}").execute("{query}").fetchall())\''


def forum(query):
    return f"cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -qAt misago -c '{query}'"


FILES = "cd / && find {0} -type f ! -name '*.lock' -print0 | sort -z | xargs -0 -r sha256sum"
# kind -> how it is lost, how it is looked at: both on the server, as root.
STORES = {
    "wiki": (
        "systemctl stop mediawiki; rm -rf /var/lib/mediawiki/data/wiki.sqlite* /var/lib/mediawiki/images; "
        "systemctl start mediawiki",
        sqlite("/var/lib/mediawiki/data/wiki.sqlite", "SELECT page_id, page_title, page_latest FROM page")
        + "; find /var/lib/mediawiki/images -type f | xargs sha256sum; stat -c %U:%a /var/lib/mediawiki/images",
    ),
    "hg_server": (
        "rm -rf /srv/hg/*",
        # What the highstate had made before the restore is moved aside.
        "cd /srv/hg && for one in $(ls | grep -v '[.]before_'); do echo $one; "
        "runuser -u hg -- hg -R $one log -T '{node} {phase}\n'; "
        "cat $one/.hg/hgrc; stat -c %U:%a $one; done",
    ),
    "redis": (
        "systemctl stop redis-server@main; rm -rf /var/lib/redis/main/*; systemctl start redis-server@main",
        # What it holds is asked of it, as one of its users.
        "true",
    ),
    "pypi_server": (
        "systemctl stop devpi; rm -rf /var/lib/devpi/server",
        sqlite("/var/lib/devpi/server/.sqlite", "SELECT count(*) FROM kv WHERE key LIKE 'insync%'")
        + "; cd / && find /var/lib/devpi/server/+files/insync -type f | sort | xargs sha256sum",
    ),
    "sentry": (
        "systemctl stop bugsink bugsink-snappea; rm -f /var/lib/bugsink/*.sqlite3*",
        sqlite("/var/lib/bugsink/db.sqlite3", "SELECT count(*), max(digested_at) FROM events_event"),
    ),
    "forum": (
        "systemctl stop misago misago-worker; rm -rf /var/lib/misago/media; cd /; "
        "setpriv --reuid=postgres --regid=postgres --init-groups dropdb misago",
        forum("SELECT count(*), max(id) FROM misago_threads_post") + "; " + FILES.format("/var/lib/misago/media"),
    ),
    "conf_server": (
        "systemctl stop conf_server; rm -f /var/lib/insync-conf-server/*",
        "cd / && python3 -c 'import sqlite3; "
        'print(list(sqlite3.connect("/var/lib/insync-conf-server/conf.db").iterdump())[:200])\'',
    ),
    "certificates": ("rm -rf /etc/letsencrypt", FILES.format("/etc/letsencrypt")),
    # Of an environment that has no replica. What is known of mails grows all the time.
    "mysql_primary": (
        """mariadb -N -e "SELECT CONCAT('DROP TABLE ', table_schema, '.', table_name, ';') """
        """FROM information_schema.tables WHERE table_schema LIKE 'insync%'" | mariadb""",
        "mariadb -N -e 'SELECT * FROM insync.users ORDER BY id'",
    ),
}
SERVERS = {kind: where("wiki" if kind == "certificates" else kind) for kind in STORES}
SERVERS["mysql_primary"] = next(name for name, host in INVENTORY["hosts"].items() if "environment" in host)
# At small size one of each engine that costs little; web is a client of redis.
SMALL = {"wiki": (), "hg_server": (), "redis": pytest.mark.alone}
KINDS = [pytest.param(kind, marks=SMALL.get(kind, pytest.mark.full_size)) for kind in STORES]


@pytest.fixture(autouse=True)
def swept(fleet):
    """What a test had moved aside is its own."""
    moved = []
    yield moved
    for server, paths in moved:
        sweep(fleet, server, paths)


def sweep(fleet, server, paths):
    """Remove what was moved aside, as whoever is sure does."""
    files = [path for path in paths if re.fullmatch(ASIDE, path)]
    databases = [path.removeprefix("postgresql:") for path in paths if path.startswith("postgresql:")]
    for name in [path.removeprefix("mariadb:") for path in paths if path.startswith("mariadb:")]:
        fleet.run(server, "mariadb", "--execute", f"DROP DATABASE `{name}`")
    fleet.run(server, "rm", "-rf", *files)
    for name in databases:
        become = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
        fleet.run(server, *become, "dropdb", name)


def kept(fleet, kind):
    if kind == "redis":
        return web.redis_all(fleet, [["GET", "web:signups"], ["GET", "web:stores"]])
    return sh(fleet, SERVERS[kind], STORES[kind][1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_lost_comes_back_the_same(fleet, drills, swept, kind):
    server = SERVERS[kind]
    if kind == "redis":
        web.redis_all(fleet, [["INCR", "web:stores"]])
    before = kept(fleet, kind)
    made = call(fleet, server, "insync.backup", f"kind={kind}")
    assert isinstance(made, dict) and made[kind]["snapshot"], made
    refused = call(fleet, server, "insync.backup_restore", f"kind={kind}", "test=False")
    assert "there is data: " in str(refused) and "Nothing was changed" in str(refused)
    assert kept(fleet, kind) == before

    sh(fleet, server, STORES[kind][0])
    done = call(fleet, server, "insync.backup_restore", f"kind={kind}", "aside=True", "test=False")
    assert isinstance(done, dict), done
    swept.append((server, [*done["aside"].values()]))
    assert done["backup"] == made[kind]["snapshot"]
    if drills.full:
        # What was stopped, and not by the verb, runs again, and nothing else is to be done.
        (states,) = fleet.highstate(server).values()
        assert failed(states) == []
        (states,) = fleet.highstate(server).values() if changed(states) else ([],)
        assert changed(states) == []
    assert kept(fleet, kind) == before


@pytest.fixture(scope="module")
def store():
    """The bucket as its owner, as the wiki's server and as who removes sees it."""
    keys = {"wiki": s3.server_key("wiki"), "keeper": web.SECRETS["backup_retention"]}
    return {"owner": client(), **{who: client(key) for who, key in keys.items()}}


def refused(ask, **told):
    try:
        ask(Bucket=BUCKET, **told)
    except botocore.exceptions.ClientError as exc:
        return exc.response["Error"]["Code"] in ("AccessDenied", "403")
    return False


def test_a_server_deletes_nothing_and_enters_no_others_place(fleet, store):
    for server, kind in (("wiki", "wiki"), ("dev", "hg_server")):
        call(fleet, server, "insync.backup", f"kind={kind}")
    with podman.network("cloud"):
        wiki, owner = store["wiki"], store["owner"]
        keys = [one["Key"] for one in owner.list_objects_v2(Bucket=BUCKET, Prefix="wiki/")["Contents"]]
        snapshot = next(key for key in keys if key.startswith("wiki/snapshots/"))
        assert refused(wiki.delete_object, Key=snapshot)
        assert refused(wiki.get_object, Key="dev/config")
        for other in ("dev/config", "dev/snapshots/0", "ct1/snapshots/0"):
            assert refused(wiki.put_object, Key=other, Body=b"mine")
        assert not refused(wiki.get_object, Key=snapshot)
        assert not refused(store["keeper"].get_object, Key=snapshot)
        assert not [key for key in keys if key.startswith("wiki/locks/")], "a lock was left behind"
        packs = [wiki.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys if "/data/" in key]
    assert packs and not any(b"SQLite format 3" in pack for pack in packs), "it is not encrypted"


def test_backups_that_are_late_are_red_and_old_ones_go_only_where_they_may(fleet):
    record = "/var/lib/insync/backups.json"
    call(fleet, "wiki", "insync.backup", "kind=wiki")
    there = json.loads(fleet.ok("wiki", "cat", record))
    late = {**there, "wiki": {**there["wiki"], "at": "2020-01-01T00:00:00+00:00"}}
    fleet.ok("wiki", "sh", "-c", f"cat > {record}", stdin=json.dumps(late))
    try:
        said = fleet.salt("wiki", "state.sls_id", "data-backup-fresh", "data_backup")["wiki"]
    finally:
        fleet.ok("wiki", "sh", "-c", f"cat > {record}", stdin=json.dumps(there))
    ((state,),) = [list(said.values())]
    # A server that has just booted gets an hour.
    uptime = float(fleet.ok("wiki", "cat", "/proc/uptime").split()[0])
    assert uptime < 3600 or (state["result"] is False and "wiki: the last good one was" in state["comment"]), state
    plan = call(fleet, "ct1", "insync.prune_backups")
    assert "wiki: " not in str(plan) and (isinstance(plan, dict) or "the database: " in plan), plan
    assert "no key to remove backups" in str(call(fleet, "wiki", "insync.prune_backups"))


def test_no_password_is_told(fleet):
    key = s3.server_key("wiki")
    said = fleet.ok(
        "wiki",
        "sh",
        "-c",
        "journalctl --no-pager; find /var/lib/insync -type f -exec cat {} +",
    )
    assert "insync.backup" in said
    assert not any(value in said for value in (key["password"], key["s3_secret_key"]))


@pytest.mark.full_size
def test_redis_does_not_start_on_a_damaged_file_and_the_highstate_says_where_it_is_damaged(fleet):
    file = "/var/lib/redis/main/appendonlydir"
    web.redis_all(fleet, [["INCR", "web:stores"]])
    before = kept(fleet, "redis")
    sh(fleet, "redis", f"systemctl stop redis-server@main; cp -a {file} /var/lib/redis/main/whole")
    try:
        # As after some power cuts: the length was written, and what is there was not.
        sh(fleet, "redis", f'truncate --size=+500 "$(ls {file}/*.incr.aof | tail -1)"')
        assert fleet.run("redis", "systemctl", "start", "redis-server@main").returncode != 0
        said = fleet.salt("redis", "state.sls_id", "redis-main-service", "redis")["redis"]
        (state,) = [one for one in said.values() if one["__id__"] == "redis-main-service"]
        assert state["result"] is False and "redis is not started" in state["comment"], state
        assert "diff=500" in fleet.ok("redis", "journalctl", "-u", "redis-server@main", "-n", "30", "--no-pager")
    finally:
        restored = f"rm -rf {file}; mv /var/lib/redis/main/whole {file}; systemctl start redis-server@main"
        sh(fleet, "redis", f"systemctl stop redis-server@main; {restored}")
    fleet.eventually(lambda: kept(fleet, "redis") == before, 20)
