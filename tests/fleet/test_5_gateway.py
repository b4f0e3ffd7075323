"""A change of sshd that locks people out is taken back by itself, and another stays. Who tries names is shut out."""

import pytest

from tests.fleet.conftest import INVENTORY, changed, failed
from tests.fleet.test_3_ssh import client, ssh  # noqa: F401  client is a fixture

pytestmark = pytest.mark.alone

STATES = "operators,firewall,sshd"
TEMPLATE = "/srv/insync/current/salt/sshd/files/sshd_config.j2"
SERVICES = "/srv/insync/current/pillar/inventory/services.yaml"
SETTINGS = "/srv/insync/site/settings.yaml"
LOCKED_OUT = ("AllowGroups operators", "AllowGroups nobody")
OTHER_PORT = 2022
# For so long a change waits to be confirmed here: longer than a busy machine needs for the states in between.
SECONDS = 12

EDIT = """
import pathlib, shutil, sys
path, old, new = sys.argv[1:]
text = pathlib.Path(path).read_text()
assert old in text, f"{path}: no {old}"
shutil.copy2(path, f"{path}.before")
pathlib.Path(path).write_text(text.replace(old, new, 1))
"""


@pytest.fixture
def edit(fleet):
    """Edit a file on ct1, as an operator would; afterwards all is as it was, on both servers."""
    edited = []

    def _edit(path, old, new):
        edited.append(path)
        fleet.ok("ct1", "python3", "-c", EDIT, path, old, new)

    yield _edit
    for path in edited:
        back = 'cat "$0.before" > "$0" && touch -r "$0.before" "$0" && rm "$0.before"'
        fleet.ok("ct1", "sh", "-c", back, path)
    for server, states in apply(fleet, "ct1", "redis").items():
        assert failed(states) == [], server
        assert not waits(fleet, server)


def apply(fleet, *servers, states=STATES):
    """Apply what sshd is made of, or other ``states``; return {server: states}."""
    results = fleet.salt(list(servers), "state.apply", states)
    assert sorted(results) == sorted(servers)
    for server, states in results.items():
        assert isinstance(states, dict), f"{server}: {states}"
    return {server: list(states.values()) for server, states in results.items()}


def waits(fleet, server):
    """Whether a change of sshd waits to be confirmed on ``server``: by its timer, and by what it would put back."""
    timer = fleet.ok(server, "systemctl", "show", "-P", "SubState", "insync-sshd-rollback.timer").strip()
    kept = fleet.run(server, "test", "-e", "/var/lib/insync/sshd/kept.tar").returncode == 0
    assert kept == (timer == "waiting"), (kept, timer)
    return kept


def enters(fleet, server):
    """Whether alice gets from the internet to ``server``."""
    done = ssh(fleet, "alice", server, "hostname")
    return (done.returncode, done.stdout.strip()) == (0, server)


def test_who_is_locked_out_is_let_in_again_also_if_the_minion_dies(fleet, edit):
    """ct1 takes no operator any more; on redis sshd cannot listen on a port that is taken, and the minion dies."""
    edit(SETTINGS, "base:\n", f"base:\n  sshd_change: {{seconds: {SECONDS}}}\n")
    edit(TEMPLATE, *LOCKED_OUT)
    edit(SERVICES, "port: 22\n", f"port: {OTHER_PORT}\n")
    fleet.ok("redis", "systemd-run", "--unit=squatter", "python3", "-m", "http.server", str(OTHER_PORT))
    try:
        fleet.ok("ct1", "salt", "--async", "redis", "state.apply", STATES)
        # The firewall has the rules of the new port by then, and those who would confirm are at it.
        down = "while ss -ltn sport = :22 | grep -q LISTEN; do sleep 0.1; done"
        fleet.ok("redis", "timeout", "60", "sh", "-c", f"{down}; systemctl kill --kill-whom=all -s KILL salt-minion")
        (states,) = apply(fleet, "ct1").values()
        (wrong,) = [state for state in states if state["result"] is False]
        assert wrong["__id__"] == "sshd-confirmed"
        assert "does not let in alice" in wrong["comment"] and "insync.confirm_sshd" in wrong["comment"]
        assert not enters(fleet, "ct1"), "the change is really one that locks out"
        for server in ("ct1", "redis"):
            fleet.eventually(lambda server=server: enters(fleet, server), 4 * SECONDS, why=f"nobody enters {server}")
            assert LOCKED_OUT[0] in fleet.ok(server, "cat", "/etc/ssh/sshd_config")
            assert not waits(fleet, server)
    finally:
        fleet.ok("redis", "systemctl", "stop", "squatter")
    fleet.answers("redis")


BANNER = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).recv(99).decode())"


def test_a_good_change_is_confirmed_by_the_highstate_itself(fleet, edit):
    edit(SERVICES, "port: 22\n", f"port: {OTHER_PORT}\n")
    edit(TEMPLATE, "LoginGraceTime 30", "LoginGraceTime 29")
    for server, states in apply(fleet, "ct1", "redis").items():
        assert failed(states) == []
        assert {"sshd-config", "sshd-service", "sshd-confirmed"} <= set(changed(states))
        assert not waits(fleet, server)
        assert "LoginGraceTime 29" in fleet.ok(server, "cat", "/etc/ssh/sshd_config")
    assert [changed(states) for states in apply(fleet, "ct1", "redis").values()] == [[], []]
    assert enters(fleet, "ct1")
    private = INVENTORY["hosts"]["redis"]["private"]
    assert "SSH-2.0-" in fleet.ok("ct1", "python3", "-c", BANNER, private, str(OTHER_PORT))
    assert fleet.run("ct1", "python3", "-c", BANNER, private, "22").returncode != 0, "the former port is closed"


def test_who_knows_better_keeps_a_change_by_hand(fleet, edit):
    edit(TEMPLATE, *LOCKED_OUT)
    (states,) = apply(fleet, "redis").values()
    assert failed(states) == ["sshd-confirmed"]
    assert fleet.salt("redis", "insync.confirm_sshd", "test=True") == {"redis": {"confirmed": False}}
    assert waits(fleet, "redis")
    assert fleet.salt("redis", "insync.confirm_sshd") == {"redis": {"confirmed": True}}
    assert not waits(fleet, "redis")
    assert LOCKED_OUT[1] in fleet.ok("redis", "cat", "/etc/ssh/sshd_config")
    assert "no change of sshd waits" in str(fleet.salt("redis", "insync.confirm_sshd"))


# Who tries names. From an address of its own: that of the other tests is never shut out.

ATTACKER = "198.51.100.66"
UNBAN = ["fail2ban-client", "unban", ATTACKER]


@pytest.fixture
def attacker(fleet):
    """Return a function that tries to log in from an attacker's address; nothing of it is left."""
    fleet.ok("world", "ip", "address", "add", f"{ATTACKER}/24", "dev", "eth0")

    def _try(*arguments):
        return ssh(fleet, "alice", "-b", ATTACKER, *arguments)

    yield _try
    fleet.ok("world", "ip", "address", "del", f"{ATTACKER}/24", "dev", "eth0")
    fleet.ok("ct1", *UNBAN)


def test_who_tries_names_is_shut_out_and_nobody_else(fleet, attacker):
    assert attacker("ct1", "hostname").stdout == "ct1\n"
    for _ in range(5):
        assert attacker("-l", "oracle", "ct1").returncode == 255
    shut_out = lambda: "refused" in attacker("ct1", "hostname").stderr  # noqa: E731
    # Who knocks in that very moment is left hanging.
    banned = lambda: ATTACKER in fleet.run("ct1", "nft", "list", "table", "inet", "f2b-table").stdout  # noqa: E731
    fleet.eventually(banned, 15, why="the attacker is not shut out")
    assert shut_out()
    assert enters(fleet, "ct1")
    # The firewall's own rules come and go without it.
    fleet.ok("ct1", "nft", "add", "rule", "inet", "insync", "input", "tcp", "dport", "8080", "accept")
    assert changed(apply(fleet, "ct1", states="firewall,fail2ban")["ct1"]) == ["firewall-loaded"]
    assert shut_out()
    fleet.ok("ct1", "systemctl", "restart", "nftables")
    fleet.eventually(banned, 15, why="a restart of the firewall has let the attacker in")
    assert shut_out()
    assert changed(apply(fleet, "ct1", states="firewall,fail2ban")["ct1"]) == []
    fleet.ok("ct1", *UNBAN)
    assert attacker("ct1", "hostname").stdout == "ct1\n"


def test_nobody_inside_is_ever_shut_out(fleet):
    ignored = fleet.ok("ct1", "fail2ban-client", "get", "sshd", "ignoreip")
    for host in INVENTORY["hosts"].values():
        assert host["private"] in ignored
    assert INVENTORY["hosts"]["ct1"]["public"] in ignored, "from where it tries its own sshd"
    assert ATTACKER not in ignored
