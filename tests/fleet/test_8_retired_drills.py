"""Servers that leave their roles keep the data only, until it is removed; the roles come back to it, or to a backup."""

import json
import pathlib

import pytest
import yaml

from tests.fleet import test_6_forum, test_6_wiki, test_7_environments, web
from tests.fleet.conftest import INVENTORY, ROOT, TURN, changed, failed, planned

HOSTS = "/srv/insync/current/pillar/inventory/hosts.yaml"
LEAVING = {path.parent.name for path in (ROOT / "salt" / "role").glob("*/absent.sls")}
# Whose leaving is seen where they move to another server; whose roles all leave another environment's server; and the
# database of those that stay.
ELSEWHERE = {"db", "dev", "web-lb02", "web02", "license02", "insynchq-web-staging"}
# At a size that fits: one in turn, of those that only this lane's tests look at. Three more roles leave in each run
# where they move to another server.
FEW = [["wiki", "insynchq-support", "radar-2", "drone", "drone-test"][TURN % 5]]
# Where the data is removed as well; the others find theirs when they come back.
REMOVED = {"wiki", "insynchq-support", "radar-2", "drone", "drone-test", "redis", "db-slave02"}
# It plays base only.
BARE = next(name for name, host in INVENTORY["hosts"].items() if not host["roles"])
# It only changes how another one serves.
NO_STATES = {"preview"}
# How what users gave the roles is asked for: from where, and by which command.
JOB = "cat /var/lib/beanstalkd/binlog.* | grep --binary-files=text --only-matching lab-retire | uniq"
AOF = "cat /var/lib/redis/main/appendonlydir/*.aof | grep --binary-files=text --count web:signups"
USER = """mariadb --skip-column-names -e "SELECT email FROM insync.users WHERE email LIKE 'retire-%' ORDER BY email" """
PROJECTS = "import sqlite3; database = sqlite3.connect('/var/lib/bugsink/db.sqlite3'); "
PROJECTS += "print(*database.execute('SELECT slug FROM projects_project'))"
ASKED = {
    "staging": [("staging", JOB), ("staging", AOF), ("staging", USER)],
    "wiki": [("world", f"curl -s 'https://{test_6_wiki.NAME}/index.php?title=Kept&action=raw'")],
    "insynchq-support": [("world", f"curl -s {test_6_forum.URL}/api/threads/ | grep -o 'It is kept' | uniq")],
    "sentry": [("sentry", f'/opt/bugsink/bin/python -c "{PROJECTS}"')],
}
PUT = "exec 3<>/dev/tcp/staging.insync.internal/11300; "
PUT += r"printf 'put 0 0 60 10\r\nlab-retire\r\nquit\r\n' >&3; cat <&3"
EDIT = [*test_6_wiki.WRITABLE, f"{test_6_wiki.MAINTENANCE}/edit.php", "--conf", "/etc/mediawiki/writable.php", "Kept"]


def give(fleet, servers):
    """Be a user of each of ``servers``: a job, a customer, a page, a thread."""
    if "staging" in servers:
        assert "INSERTED" in fleet.ok("staging", "bash", "-c", PUT)
        told = ["--header", "Content-Type: application/json", "--data", json.dumps({"email": web.address("retire")})]
        environment = INVENTORY["hosts"]["staging"]["environment"]
        status = test_7_environments.ask(fleet, environment, "/signup", *test_7_environments.VISITOR, *told)[0]
        assert status == 201
    if "wiki" in servers:
        fleet.ok("wiki", *EDIT, stdin="It is kept.")
    if "insynchq-support" in servers:
        browser = test_6_forum.Browser(fleet)
        assert browser.post("/api/auth/", **test_6_forum.ADMIN)[0] == 200
        assert browser.start("It is kept", "Where it was.")[0] == 200


def parted(server):
    """(the roles that ``server`` keeps, those that it leaves)."""
    roles = INVENTORY["hosts"][server]["roles"]
    return [role for role in roles if role not in LEAVING | NO_STATES], [role for role in roles if role in LEAVING]


@pytest.fixture(scope="module")
def servers(drills):
    """Those that leave their roles, all at once."""
    hosts = INVENTORY["hosts"]
    return drills.size(FEW, [server for server in hosts if server not in ELSEWHERE and parted(server)[1]])


def declare(fleet, servers):
    """Let the inventory on ct1 say that ``servers`` have left their roles."""
    hosts = yaml.safe_load((ROOT / "pillar" / "inventory" / "hosts.yaml").read_text())
    for server in servers:
        stays, leaves = parted(server)
        hosts[server].update(roles=stays, retired=leaves)
    fleet.ok("ct1", "sh", "-c", f"cat > {HOSTS}", stdin=yaml.safe_dump(hosts, sort_keys=False))


def own(fleet, servers):
    """Return {server: {(kind, name)}}: what the states of each make that can be asked for afterwards."""
    found = {}
    for server, chunks in fleet.salt(servers, "state.show_lowstate", patience=120).items():
        assert isinstance(chunks, list), f"{server}: {chunks}"
        found[server] = {thing for chunk in chunks for thing in made(chunk)}
    return found


def made(chunk):
    """Yield (kind, name) of each thing that the state ``chunk`` makes."""
    how = (chunk["state"], chunk["fun"])
    if how in KINDS:
        yield KINDS[how], chunk["name"]
    if how == ("pkg", "installed"):
        for package in chunk.get("pkgs", [chunk["name"]]):
            yield "package", package if isinstance(package, str) else next(iter(package))


def data(fleet, servers):
    """What users find of what they gave the roles of ``servers``."""
    return {one: fleet.run(one[0], "sh", "-c", one[1]).stdout for server in servers for one in ASKED.get(server, [])}


KINDS = {
    ("file", "managed"): "path",
    ("file", "directory"): "path",
    ("file", "recurse"): "path",
    ("file", "symlink"): "path",
    ("insync_venv", "installed"): "path",
    ("insync_bugsink", "released"): "path",
    ("insync_misago", "released"): "path",
    ("insync_unit", "running"): "unit",
    ("service", "running"): "unit",
    ("user", "present"): "user",
}
TIMERS = "systemctl list-units --state=active --plain --no-legend --type=timer | cut -d' ' -f1"
# Prints what of its arguments, "kind name" each, is there; of packages those that nothing else needs.
ASK = """
for one in "$@"; do
    name=${one#* }
    case ${one%% *} in
    path) [ -e "$name" ] || [ -L "$name" ] ;;
    package)
        dpkg-query --show --showformat='${db:Status-Status} ${Priority}' "$name" 2>&1 | grep -q '^installed opt' &&
            [ "$(apt-get --simulate remove "$name" | grep -c '^Remv ')" = 1 ] ;;
    user) id "$name" > /dev/null 2>&1 ;;
    unit) systemctl is-active --quiet "$name" || [ -n "$(find /etc/systemd/system -name "${name%.service}*")" ] ;;
    esac && echo "$one"
done
true
"""


def timers(fleet, server):
    """The timers that run on ``server`` (set of str); they are packages' too, which no state names."""
    return set(fleet.ok(server, "sh", "-c", TIMERS).splitlines())


def there(fleet, server, things):
    words = [f"{kind} {name}" for kind, name in sorted(things)]
    return fleet.ok(server, "sh", "-c", ASK, "sh", *words).splitlines()


# What takes away something that Debian's packages bring.
OF_PACKAGES = {"mariadb-backup-no-cron", "nginx-default-site", "redis-adopted"}
# What backs up the data of who has some.
BACKUP = "/etc/systemd/system/data-backup.timer"
PENDING = ["systemctl", "list-units", "--plain", "--no-legend", "--state=activating", "insync-restart@*"]


def settled(fleet, servers):
    """Wait until what restarts when idle has: minions, and on ct1 the master, without whom none is heard."""
    for server in servers:
        fleet.eventually(lambda server=server: not fleet.ok(server, *PENDING), why=f"{server} still has to restart")
    for server in servers:
        fleet.answers(server)


# Logs of databases; and users of dpkg's overrides of owners who are not there: it installs nothing any more then.
ODD = """
ls -d /var/log/mysql/* /var/log/postgresql/* 2>/dev/null
dpkg-statoverride --list | cut -d' ' -f1 | sort -u |
    while read -r user; do getent passwd "$user" >&2 || echo "$user"; done
"""


def remove(fleet, servers):
    """Remove the data on ``servers``; return what that told, what is there afterwards, and what another run plans."""
    told = fleet.salt(servers, "insync.remove_data", "test=False", patience=180)
    plan, dry = fleet.salt(servers, "insync.remove_data", patience=180), fleet.highstate(servers, "test=True")
    return {server: (told[server], plan[server], dry[server]) for server in servers}


def restore(fleet, server):
    """Bring back what of its data is backed up, but certificates, which were ordered anew; nothing is kept aside."""
    for kind in fleet.salt(server, "insync.backups")[server]["data"]:
        if not kind.endswith("certificates"):
            words = [f"kind={kind}", "aside=True", "test=False"]
            done = fleet.salt(server, "insync.backup_restore", *words, patience=120)[server]
            assert isinstance(done, dict), done
            for aside in done["aside"].values():
                where, _, name = aside.rpartition(":")
                drop = ["runuser", "-u", "postgres", "--", "dropdb", name] if where else ["rm", "-r", name]
                fleet.ok(server, *drop)


@pytest.fixture(scope="module")
def removed(servers):
    """Those whose data is removed."""
    return [server for server in servers if server in REMOVED]


@pytest.fixture(scope="module")
def left(fleet, servers, removed):
    """What was there before, what leaving told and did, and what was left; in the end the roles come back."""
    ports = fleet.salt(servers, "insync.ports")
    seen = {"declared": {server: found["declared"] for server, found in ports.items()}}
    before, inventory = own(fleet, servers), fleet.ok("ct1", "cat", HOSTS)
    give(fleet, servers)
    seen["data"] = data(fleet, servers)
    with_data = [server for server in removed if fleet.run(server, "test", "-e", BACKUP).returncode == 0]
    if with_data:
        seen["backups"] = fleet.salt(with_data, "insync.backup", patience=180)
    try:
        declare(fleet, servers)
        seen["dry"], seen["done"] = (fleet.highstate(servers, *options) for options in (["test=True"], []))
        after = own(fleet, servers)
        seen["own"] = {server: before[server] - after[server] for server in servers}
        seen["kept"] = fleet.salt(servers, "insync.remove_data", patience=180)
        seen["left"] = {server: there(fleet, server, seen["own"][server]) for server in servers}
        seen["timers"] = {server: timers(fleet, server) for server in [*servers, BARE]}
        settled(fleet, servers)
        seen["ports"] = fleet.salt(servers, "insync.ports")
        seen["again"] = fleet.highstate(servers, "test=True")
        seen["removed"] = remove(fleet, removed)
        seen["odd"] = {server: fleet.ok(server, "sh", "-c", ODD) for server in removed}
        seen["left then"] = {server: there(fleet, server, seen["own"][server]) for server in removed}
    finally:
        fleet.ok("ct1", "sh", "-c", f"cat > {HOSTS}", stdin=inventory)
        # Whatever it says, they come back.
        seen["dry back"] = fleet.salt(servers, "state.highstate", "test=True", patience=180)
        seen["back"] = fleet.highstate(servers)
        settled(fleet, servers)
    for server in with_data:
        restore(fleet, server)
    return seen


def test_what_leaving_does_is_told_before_and_done_once(servers, left):
    for server in servers:
        assert failed(left["done"][server]) == [], server
        assert planned(left["dry"][server]) == changed(left["done"][server]) != [], server
        assert failed(left["again"][server]) + planned(left["again"][server]) == [], server


def test_nothing_but_data_and_who_owns_it_stays(servers, left, drills):
    assert {"path", "unit", "package"} <= {kind for found in left["own"].values() for kind, _ in found}
    odd = {server: [one for one in left["left"][server] if not stays(left, server, one)] for server in servers}
    assert odd == {server: [] for server in servers}
    for server in servers:
        gone, kept = len(left["own"][server]) - len(left["left"][server]), left["kept"][server]
        drills.note_retired(server, parted(server)[1], gone, sorted(kept["would_remove"]), kept["users"])


def test_what_is_removed_is_gone_as_was_told(removed, left):
    for server in removed:
        (done, plan, dry), kept = left["removed"][server], left["kept"][server]
        assert {**done, "would_remove": done["removed"]} == {**kept, "removed": kept["would_remove"]}, server
        assert plan == {"would_remove": {}, "users": [], "packages": []}, server
        assert failed(dry) + planned(dry) == [], server
        assert left["left then"][server] == [], server
        assert left["odd"][server] == "", server


def test_who_plays_base_only_has_no_other_timers_than_who_always_did(servers, left):
    bare = [server for server in servers if not parted(server)[0]]
    others = {server: left["timers"][server] - left["timers"][BARE] for server in bare}
    assert others == {server: set() for server in bare} != {}


def stays(left, server, thing):
    kind, name = thing.split(" ", 1)
    if kind == "user":
        return name in left["kept"][server]["users"]
    data = any(pathlib.PurePath(name).is_relative_to(path) for path in left["kept"][server]["would_remove"])
    # What was done to applications stays on record, also if nobody plays them any more.
    return kind == "path" and (data or (server == "ct1" and name.startswith("/var/lib/insync/")))


def test_what_listens_is_what_the_inventory_still_declares(servers, left):
    for server in servers:
        ports = left["ports"][server]
        assert ports["missing"] + ports["undeclared"] == [], server
        # The gateway's sshd has another port; as any other server it has this one.
        assert set(ports["declared"]) - {"tcp/22"} < set(left["declared"][server]), server


def test_what_coming_back_does_is_told_before(servers, removed, left):
    for server in servers:
        dry, done = list(left["dry back"][server].values()), left["back"][server]
        assert failed(dry) == [], server
        # What one package brings along, another state has not to do any more; or takes away, where it had been purged.
        told = {*planned(dry), *(OF_PACKAGES if server in removed else [])}
        assert set() != set(changed(done)) <= told, server


def test_they_come_back_and_find_their_data_or_its_backup(fleet, servers, left):
    assert {server: failed(states) for server, states in left["back"].items()} == {server: [] for server in servers}
    assert "" not in left["data"].values()
    fleet.eventually(lambda: data(fleet, servers) == left["data"], 30, why=lambda: str(data(fleet, servers)))
    for server, ports in fleet.salt(servers, "insync.ports").items():
        assert ports["missing"] + ports["undeclared"] == [], server
    for server, states in fleet.highstate(servers, "test=True").items():
        assert failed(states) + planned(states) == [], server


def test_a_role_cannot_be_played_and_left(fleet):
    check = "import insync_inventory as i; print(*i.problems('/srv/insync/current/pillar/inventory'), sep='\\n')"
    hosts = fleet.ok("ct1", "cat", HOSTS)
    both = yaml.safe_load(hosts)
    both["license01"].update(roles=["license"], retired=["license"])
    try:
        fleet.ok("ct1", "sh", "-c", f"cat > {HOSTS}", stdin=yaml.safe_dump(both, sort_keys=False))
        said = fleet.ok("ct1", "env", "PYTHONPATH=/srv/insync/current/_utils", "/opt/salt/bin/python", "-c", check)
        assert "hosts.yaml: license01.retired: it plays 'license'" in said
    finally:
        fleet.ok("ct1", "sh", "-c", f"cat > {HOSTS}", stdin=hosts)
