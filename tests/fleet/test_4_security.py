"""What a hostile server can get from the master: nothing that is not its own."""

import json

import pytest

from tests.fleet.conftest import INVENTORY, SERVERS

MASTER = INVENTORY["hosts"]["ct1"]["private"]

# A second minion on a server that an attacker owns, with a key of its own.
EVIL = f"""
id: %s
master: {MASTER}
pki_dir: /root/evil/pki
cachedir: /root/evil/cache
sock_dir: /root/evil/sock
log_file: /root/evil/log
verify_master_pubkey_sign: True
always_verify_signature: True
minion_sign_messages: True
encryption_algorithm: OAEP-SHA224
signing_algorithm: PKCS1v15-SHA224
acceptance_wait_time: 2
grains: {{roles: [base, ssh_gateway, salt_master], host: ct1, fqdn: ct1, nodename: ct1}}
"""


@pytest.fixture
def evil(fleet):
    """Run salt-call on sendy as a minion of the given id, with a new key or sendy's own; return what it printed."""

    def call(identity, *arguments, key="new"):
        prepare = (
            "rm -rf /root/evil && mkdir -p /root/evil/pki && cat > /root/evil/minion"
            " && cp /etc/salt/pki/minion/master_sign.pub /root/evil/pki/"
        )
        own = " && cp /etc/salt/pki/minion/minion.p* /root/evil/pki/"
        if key != "kept":
            fleet.ok("sendy", "sh", "-c", prepare + (own if key == "own" else ""), stdin=EVIL % identity)
        command = ["timeout", "20", "salt-call", "-c", "/root/evil", "--out=json", "--log-level=quiet", *arguments]
        return fleet.run("sendy", *command)

    yield call
    fleet.run("sendy", "rm", "-rf", "/root/evil")
    fleet.run("ct1", "salt-key", "--yes", "--delete", "ghost")


def test_the_probe_itself_reaches_the_master(evil):
    """With sendy's own id and key the same minion gets sendy's pillar: what fails below is refused, not broken."""
    assert _local(evil("sendy", "pillar.get", "host:name", "unmask=True", key="own")) == "sendy"
    assert _local(evil("sendy", "pillar.get", "roles", "unmask=True", key="own")) == ["base"], "its grains claim more"


def _local(done):
    return json.loads(done.stdout)["local"]


def test_an_unknown_id_waits_unaccepted_and_gets_nothing(fleet, evil):
    done = evil("ghost", "pillar.items")
    assert (done.returncode != 0, "local" in done.stdout) == (True, False)
    keys = json.loads(fleet.ok("ct1", "salt-key", "--out=json", "--list-all"))
    assert keys["minions_pre"] == ["ghost"]
    assert sorted(keys["minions"]) == SERVERS


def test_an_unknown_id_accepted_by_mistake_gets_no_pillar(fleet, evil):
    evil("ghost", "test.ping")
    fleet.ok("ct1", "salt-key", "--yes", "--accept", "ghost")
    pillar = json.loads(evil("ghost", "pillar.items", key="kept").stdout)["local"]
    assert not set(pillar) - {"_errors"}, sorted(pillar)
    state = evil("ghost", "state.highstate", "test=True", key="kept")
    assert state.returncode != 0
    assert "secrets" not in state.stdout


@pytest.mark.parametrize("identity", ["web02", "ct1"])
def test_a_stolen_id_with_another_key_is_denied(fleet, evil, identity):
    done = evil(identity, "pillar.items")
    assert (done.returncode != 0, "local" in done.stdout) == (True, False)
    keys = json.loads(fleet.ok("ct1", "salt-key", "--out=json", "--list-all"))
    assert keys["minions_denied"] == [identity]
    assert sorted(keys["minions"]) == SERVERS
    assert fleet.salt(identity, "test.ping") == {identity: True}
    fleet.ok("ct1", "rm", f"/etc/salt/pki/master/minions_denied/{identity}")


def test_forged_grains_gain_nothing(fleet):
    forged = "roles: [salt_master, ssh_gateway]\nhost: ct1\nid: ct1\n"
    fleet.ok("sendy", "sh", "-c", "cat > /etc/salt/grains", stdin=forged)

    def ask(*arguments):
        return _local(fleet.run("sendy", "salt-call", "--out=json", "--log-level=quiet", *arguments))

    try:
        assert ask("grains.get", "roles") == ["salt_master", "ssh_gateway"], "the forged grain is there"
        assert ask("pillar.get", "roles", "unmask=True") == ["base"]
        assert ask("pillar.get", "host:name", "unmask=True") == "sendy"
        assert ask("pillar.keys", "secrets") == ["base"]
        assert not {"salt_master", "ssh_gateway"} & set(ask("pillar.ls"))
    finally:
        fleet.ok("sendy", "rm", "/etc/salt/grains")


HIDDEN = [
    "pillar/top.sls",
    "../pillar/secrets/init.sls",
    "//pillar/top.sls",
    "../../site/secrets/base.yaml",
    "/srv/insync/site/secrets/base.yaml",
    "..%2fpillar/top.sls",
    "?index=0/../pillar/top.sls",
    "_modules/../../pillar/top.sls",
    "_modules/../../../site/operators.yaml",
    "roots/../pillar/top.sls",
    "Saltfile",
    "README.md",
    ".git/config",
    "/etc/shadow",
    "../../../../etc/salt/pki/master/master.pem",
]


def test_the_file_server_serves_salt_and_roots_only(fleet):
    for path in HIDDEN:
        answer = fleet.salt("sendy", "cp.get_file_str", f"salt://{path}")["sendy"]
        assert not answer, f"{path}: {str(answer)[:80]}"
    served = fleet.salt("sendy", "cp.list_master")["sendy"]
    tops = {path.split("/")[0] for path in served}
    components = {
        path.split("/")[-1] for path in fleet.ok("ct1", "sh", "-c", "ls -d /srv/insync/current/salt/*").split()
    }
    assert tops <= components | {"_modules", "_states", "_runners", "_utils", "top.sls"}
    assert "top.sls" in tops, "the probe sees what the server serves"


def test_a_minion_cannot_reach_the_other_minions_or_push_files(fleet):
    said = fleet.run("sendy", "salt-call", "--out=json", "publish.publish", "*", "test.ping").stdout
    assert "true" not in said
    fleet.ok("sendy", "sh", "-c", "echo planted > /root/planted")
    assert "true" not in fleet.run("sendy", "salt-call", "--out=json", "cp.push", "/root/planted").stdout
    assert fleet.run("ct1", "find", "/var/cache/salt/master", "-name", "planted").stdout == ""
    fleet.ok("sendy", "rm", "/root/planted")


def test_no_secret_in_logs_job_cache_or_process_list(fleet):
    shadow = fleet.ok("web02", "getent", "shadow", "root").split(":")[1]
    assert shadow.startswith("$"), "the state put the hash there"
    for server in ("web02", "ct1"):
        for script in (
            'grep -rlaF -e "$0" /var/log /run/log /tmp /var/cache/salt/master/jobs 2>/dev/null',
            'grep -rlaF -e "$0" --null /etc /var/cache/salt | xargs -0 -I@ find @ -perm /o+rwx',
            'journalctl --no-pager | grep -aF -e "$0"',
            "ps axww -o args | grep -F -e \"$0\" | grep -v -e grep -e '^sh -c'",
        ):
            assert fleet.run(server, "sh", "-c", script, shadow).stdout == "", f"{server}: {script}"


def test_the_master_is_an_unprivileged_user_with_closed_files(fleet):
    users = set(fleet.ok("ct1", "sh", "-c", "ps -eo user=,args= | grep '[s]alt-master' | cut -d' ' -f1").split())
    assert users == {"salt"}
    closed = ["/var/cache/salt/master", "/etc/salt/pki/master", "/etc/salt/bootstrap", "/srv/insync"]
    assert fleet.run("ct1", "runuser", "-u", "alice", "--", "find", *closed, "-type", "f").stdout == ""
    assert fleet.ok("ct1", "find", *closed, "-type", "f"), "there is something to read"
