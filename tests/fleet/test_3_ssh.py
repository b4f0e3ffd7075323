"""The one way in: ct1, by key, as an operator; from there to every server and nowhere else."""

import json
import uuid

import pytest

from tests.fleet.conftest import INVENTORY, SERVERS

CT1 = INVENTORY["hosts"]["ct1"]
PORT = next(service["port"] for service in INVENTORY["services"].values() if service["role"] == "ssh_gateway")


def ssh(fleet, user, *arguments):
    """Run ssh in insync-world as its user ``user``, who has that operator's key."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
    return fleet.run("world", "runuser", "-u", user, "--", "ssh", *options, *arguments)


@pytest.fixture(scope="module", autouse=True)
def client(fleet):
    """What README tells an operator to set up: the generated ssh_config and known_hosts."""
    known = fleet.ok("ct1", "salt-run", "insync.known_hosts")
    for user in ("alice", "bob"):
        home = f"/home/{user}/.ssh"
        names = (f"user={user}", f"known_hosts={home}/insync_known_hosts")
        config = fleet.ok("ct1", "salt-run", "insync.ssh_config", *names)
        fleet.ok("world", "sh", "-c", f"cat > {home}/config", stdin=config)
        fleet.ok("world", "sh", "-c", f"cat > {home}/insync_known_hosts", stdin=known)
        fleet.ok("world", "sh", "-c", f"chown -R {user}: {home} && chmod 600 {home}/config")


@pytest.mark.parametrize("server", SERVERS)
def test_an_operator_enters_every_server_by_its_name(fleet, server):
    done = ssh(fleet, "alice", server, "hostname")
    assert (done.returncode, done.stdout.strip()) == (0, server), done.stderr


def test_a_password_is_not_even_asked_for(fleet):
    options = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive"]
    done = ssh(fleet, "alice", *options, "ct1", "true")
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize("user", ["root", "salt", "nobody"])
def test_only_operators_enter(fleet, user):
    done = ssh(fleet, "alice", "-l", user, "ct1", "true")
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_an_operators_name_opens_nothing_with_another_key(fleet):
    """A key that nobody has declared, shown to the gateway; behind it, where the jump is hers; and for the jump."""
    stranger = "/home/alice/.ssh/stranger"
    make = f"ssh-keygen -q -t ed25519 -N '' -f {stranger}"
    fleet.ok("world", "runuser", "-u", "alice", "--", "sh", "-c", f"rm -f {stranger}*; {make}")
    shown = ["-o", "IdentitiesOnly=yes", "-i", stranger]
    jump = f"ProxyCommand=ssh -o BatchMode=yes {' '.join(shown)} -W [%h]:%p ct1"
    inner = INVENTORY["hosts"]["web02"]["private"]
    for address, words in (
        (CT1["public"], [*shown, "ct1"]),
        (inner, [*shown, "web02"]),
        (CT1["public"], ["-o", jump, "web02"]),
    ):
        done = ssh(fleet, "alice", *words, "hostname")
        assert (done.returncode, done.stdout) == (255, "")
        assert f"alice@{address}: Permission denied (publickey)" in done.stderr, done.stderr
    fleet.ok("world", "rm", stranger, f"{stranger}.pub")
    others = ssh(fleet, "alice", "-l", "bob", "ct1", "hostname")
    assert (others.returncode, others.stdout) == (255, ""), "nor does the key of another operator"
    assert "Permission denied (publickey)" in others.stderr


def test_port_22_is_closed_from_outside(fleet):
    done = ssh(fleet, "alice", "-F", "none", "-p", "22", CT1["public"], "true")
    assert done.returncode == 255
    assert "timed out" in done.stderr or "refused" in done.stderr, done.stderr


def test_a_server_refuses_to_be_entered_directly(fleet):
    for port in ("22", str(PORT)):
        done = ssh(fleet, "alice", "-F", "none", "-p", port, INVENTORY["hosts"]["web02"]["public"], "true")
        assert done.returncode == 255
        assert "timed out" in done.stderr or "refused" in done.stderr, done.stderr


def test_the_gateway_forwards_to_the_fleets_ssh_ports_only(fleet):
    for target in (f"{CT1['private']}:4506", f"{INVENTORY['hosts']['db']['private']}:3306", "127.0.0.1:22"):
        done = ssh(fleet, "alice", "-W", target, "ct1")
        assert done.returncode != 0
        assert "administratively prohibited" in done.stderr, done.stderr


def test_ops_run_salt_through_sudo_and_no_other_command(fleet):
    done = ssh(fleet, "alice", "ct1", "sudo -n salt --out=json --static web02 test.ping")
    assert done.returncode == 0, done.stderr
    assert '"web02": true' in done.stdout
    for command in (
        "sudo -n cat /etc/shadow",
        "sudo -n -u root salt-key -L",
        "sudo -n -u salt cat /etc/salt/master",
        "sudo -n su",
    ):
        refused = ssh(fleet, "alice", "ct1", command)
        assert refused.returncode != 0, command
    assert ssh(fleet, "alice", "web02", "sudo -n true").returncode != 0


def test_the_job_is_recorded_with_who_ran_it(fleet):
    word = f"recorded-{uuid.uuid4().hex}"
    ssh(fleet, "alice", "ct1", f"sudo -n salt web02 test.arg {word}")
    jobs = json.loads(fleet.ok("ct1", "salt-run", "--out=json", "jobs.list_jobs")).values()
    assert [job["User"] for job in jobs if job["Arguments"] == [word]] == ["sudo_alice"]


def test_admins_may_do_everything(fleet):
    done = ssh(fleet, "bob", "web02", "sudo -n id -u")
    assert done.stdout.strip() == "0", done.stderr


@pytest.mark.alone
def test_who_has_left_is_removed_with_every_session(fleet):
    site = "/srv/insync/site/operators.yaml"
    fleet.ok("ct1", "cp", "-p", site, "/root/operators.yaml")
    try:
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIWdEyBRLWFyvxhuSyBnO5hWvc9SPCKZKVV8bm3aiqyT carol"
        carol = f'  carol: {{uid: 2009, groups: [ops], keys: ["{key}"]}}\n'
        fleet.ok("ct1", "sh", "-c", f"cat >> {site}", stdin=carol)
        fleet.highstate("radar-2")
        assert "carol" in fleet.ok("radar-2", "id", "carol")
        fleet.ok("radar-2", "systemd-run", "--collect", "--uid=carol", "--unit=session-of-carol", "sleep", "1000")
    finally:
        fleet.ok("ct1", "mv", "/root/operators.yaml", site)
    fleet.highstate("radar-2")
    assert fleet.run("radar-2", "id", "carol").returncode != 0
    assert fleet.run("radar-2", "pgrep", "-u", "2009").stdout == "", "a session goes on"
    assert fleet.run("radar-2", "test", "-d", "/home/carol").returncode == 0, "the home of who has left is kept"


def test_a_file_that_an_image_brings_cannot_open_sshd(fleet):
    planted = "/etc/ssh/sshd_config.d/50-cloud-init.conf"
    fleet.ok("wiki", "sh", "-c", f"printf 'PasswordAuthentication yes\\nPermitRootLogin yes\\n' > {planted}")
    try:
        settings = fleet.ok("wiki", "/usr/sbin/sshd", "-T").splitlines()
        assert {"passwordauthentication no", "permitrootlogin no"} <= set(settings)
    finally:
        fleet.ok("wiki", "rm", planted)
