"""A server that leaves its roles keeps their data, and nothing else of them."""

import contextlib
import json
import re

import pytest

from tests.fleet.conftest import changed, failed, planned

# It plays base only; for a while it plays these too.
SERVER = "dev02"
ROLES = ["beanstalkd", "license", "mailer"]
HOSTS = "/srv/insync/current/pillar/inventory/hosts.yaml"
EDIT = f"""
import json, sys, yaml
hosts = yaml.safe_load(open("{HOSTS}"))
hosts["{SERVER}"].update(json.load(sys.stdin))
open("{HOSTS}", "w").write(yaml.safe_dump(hosts, sort_keys=False))
"""
PUT = f"exec 3<>/dev/tcp/{SERVER}.insync.internal/11300; "
PUT += r"printf 'put 0 0 60 10\r\nlab-retire\r\nquit\r\n' >&3; cat <&3"
FOLDERS = "/etc /opt /usr/local /var/lib /insync /srv"
SNAPSHOT = f"""
find {FOLDERS} -xdev \\( -path '/opt/salt*' -o -name __pycache__ \\) -prune -o -print 2>/dev/null
ss -Hltnu | awk '{{print "port", $1, $5}}'
cut -d: -f1 /etc/passwd | sed 's/^/user /'
systemctl list-units --all --plain --no-legend --type=service,socket,timer | awk '{{print "unit", $1}}'
systemctl list-unit-files --no-legend | awk '{{print "unit file", $1, $2}}'
"""
# Debian's: what a removed package leaves of its own, its dependency netbase, and records of packages and units.
DEBIANS = ("/etc/init.d/", "/etc/rc", "/var/lib/dpkg/", "/var/lib/apt/", "/var/lib/systemd/", "/var/lib/private")
NETBASE = {"/etc/ethertypes", "/etc/networks", "/etc/protocols", "/etc/services", "/etc/rpc"}


def snapshot(fleet):
    # Which number beanstalkd's file has depends on how much was queued before.
    return set(re.sub(r"binlog\.\d+", "binlog.1", fleet.ok(SERVER, "sh", "-c", SNAPSHOT)).splitlines())


def own(lines):
    """Those of ``lines`` that are no doing of Debian's."""
    passing = ("unit systemd-", "unit user", "unit apt-", "unit run-", "unit file run-")
    return {line for line in lines if not line.startswith((*DEBIANS, *passing)) and line not in NETBASE}


@contextlib.contextmanager
def edited(fleet):
    """Yield a function that edits the server's entry in the deployed inventory; in the end it is as it was."""
    before = fleet.ok("ct1", "cat", HOSTS)
    try:
        yield lambda **entry: fleet.ok("ct1", "/opt/salt/bin/python", "-c", EDIT, stdin=json.dumps(entry))
    finally:
        fleet.ok("ct1", "sh", "-c", f"cat > {HOSTS}", stdin=before)
        fleet.salt("dev", "state.apply", "firewall")
        fleet.highstate(SERVER)


@pytest.fixture(scope="module")
def left(fleet):
    """The server before it had the roles, with them, in test mode and in earnest without them; and once more."""
    before = snapshot(fleet)
    with edited(fleet) as edit:
        edit(roles=ROLES)
        fleet.salt("dev", "state.apply", "firewall")
        played = fleet.highstate(SERVER)[SERVER]
        assert failed(played) == []
        assert "INSERTED" in fleet.ok(SERVER, "bash", "-c", PUT)
        with_roles = snapshot(fleet)
        edit(roles=[], retired=ROLES)
        dry, done, again = (fleet.highstate(SERVER, *options)[SERVER] for options in (["test=True"], [], []))
        yield {"before": before, "with": with_roles, "after": snapshot(fleet), "dry": dry, "done": done, "again": again}


def test_it_had_them(left):
    assert {"user insync-license", "unit mailer.service", "/etc/insync/license/settings.json"} <= left["with"]
    new = left["with"] - left["before"]
    ports = {line.rpartition(":")[2] for line in new if line.startswith("port")}
    assert ports >= {"11300", "8121"} and ports & {"8111", "8112"}


def test_what_leaving_does_is_told_before_and_done_once(left):
    assert failed(left["done"]) == []
    assert planned(left["dry"]) == changed(left["done"]) != []
    assert (failed(left["again"]), changed(left["again"])) == ([], [])


def test_nothing_but_data_and_who_owns_it_stays(fleet, left):
    assert left["before"] - left["after"] == set()
    kept = {line for line in own(left["after"]) if re.search("beanstalkd|license|mailer|^/insync", line)}
    assert kept == {
        "/insync",
        "/insync/venv",
        "/var/lib/beanstalkd",
        "/var/lib/beanstalkd/binlog.1",
        "/var/lib/beanstalkd/lock",
        "/var/lib/insync/license",
        "/var/lib/insync/mailer",
        "user beanstalkd",
    }
    assert own(left["after"] - left["before"]) <= kept
    assert fleet.ok(SERVER, "sh", "-c", "grep -l lab-retire /var/lib/beanstalkd/binlog.*"), "a job that was not done"


def test_a_role_cannot_be_played_and_left(fleet, left):
    check = "import insync_inventory as i; print(*i.problems('/srv/insync/current/pillar/inventory'), sep='\\n')"
    with_both = EDIT.replace("json.load(sys.stdin)", '{"roles": ["license"], "retired": ["license"]}')
    before = fleet.ok("ct1", "cat", HOSTS)
    try:
        fleet.ok("ct1", "/opt/salt/bin/python", "-c", with_both)
        said = fleet.ok("ct1", "env", "PYTHONPATH=/srv/insync/current/_utils", "/opt/salt/bin/python", "-c", check)
        assert f"hosts.yaml: {SERVER}.retired: it plays 'license'" in said
    finally:
        fleet.ok("ct1", "sh", "-c", f"cat > {HOSTS}", stdin=before)
