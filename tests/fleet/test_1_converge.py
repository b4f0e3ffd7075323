"""The fleet converges, stays converged, and test mode tells the truth."""

import concurrent.futures
import re

import pytest

from tests.fleet.conftest import SERVERS, changed, failed, planned

pytestmark = pytest.mark.alone


def test_every_server_has_its_row_and_none_failed(fleet):
    rows = {
        line.split()[0]: line.split()
        for line in fleet.report.splitlines()
        if line.split()[:1] and line.split()[0] in SERVERS
    }
    assert sorted(rows) == SERVERS
    assert re.search(r"21 servers.* 0 failed", fleet.report), fleet.report[-2000:]


def test_a_second_highstate_changes_nothing_anywhere(fleet):
    results = fleet.highstate("*")
    assert sorted(results) == SERVERS
    assert {minion: failed(states) for minion, states in results.items()} == {minion: [] for minion in SERVERS}
    assert {minion: changed(states) for minion, states in results.items()} == {minion: [] for minion in SERVERS}


# What somebody might do by hand on web02, and the states that must see it.
BY_HAND = {
    "echo 10.9.9.9 typo >> /etc/hosts": "host-names",
    "timedatectl set-timezone Asia/Manila": "clock-timezone",
    "useradd -g operators mallory; useradd -G operators,admin trudy": "operators-leavers",
    "echo ssh-ed25519 AAAA mallory >> /home/alice/.ssh/authorized_keys": "operators-alice-keys",
    "echo 'alice ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.d/operators": "operators-sudo",
    "usermod -p '!' root": "console-root",
    "install -d /root/.ssh; echo ssh-ed25519 AAAA > /root/.ssh/authorized_keys": "sshd-no-root-keys",
    "nft add rule inet insync input tcp dport 8080 accept": "firewall-loaded",
    "systemctl disable nftables": "firewall-at-boot",
    "systemctl stop apt-daily-upgrade.timer": "upgrades-apt-daily-upgrade.timer",
    "rm /etc/systemd/journald.conf.d/insync.conf": "journal-config",
    "chmod 0777 /etc/logrotate.d/salt-minion": "salt-minion-logrotate",
}


def test_test_mode_reports_what_a_run_then_changes_and_touches_nothing(fleet):
    for command in BY_HAND:
        fleet.ok("web02", "sh", "-c", command)
    before = _digest(fleet)
    (dry,) = fleet.highstate("web02", "test=True").values()
    assert sorted(_digest(fleet) ^ before) == [], "test mode touched something"
    (done,) = fleet.highstate("web02").values()
    assert failed(done) == []
    assert planned(dry) == changed(done)
    assert set(BY_HAND.values()) <= set(changed(done))
    (again,) = fleet.highstate("web02").values()
    assert changed(again) == []
    # The states take rights from who was made by hand, and leave the users for a survey to tell.
    fleet.ok("web02", "sh", "-c", "for name in mallory trudy; do userdel --remove $name 2>/dev/null; done; ! id trudy")


def _digest(fleet):
    """What test mode could touch, as a set of lines: files, users, rules, running units."""
    scripts = (
        # But for what the minion writes whenever it says hello to its master.
        "find /etc /home /root /opt /usr/local -xdev -type f ! -name minion_master.pub -printf '%p %m %s %T@\\n'",
        "nft -s list ruleset",
        "systemctl list-unit-files --no-legend",
        "systemctl list-timers --no-legend --all | awk '{print $(NF-1)}' | sort",
    )
    return {line for script in scripts for line in fleet.ok("web02", "sh", "-c", script).splitlines()}


def test_the_minion_restarts_itself_without_losing_the_job(fleet):
    before = _minion_pid(fleet)
    fleet.ok("web02", "sh", "-c", "echo '# by hand' >> /etc/salt/minion")
    (done,) = fleet.highstate("web02").values()
    assert failed(done) == []
    assert changed(done) == ["salt-minion-config", "salt-minion-restart"]
    fleet.eventually(lambda: _minion_pid(fleet) not in (before, "0"), why="the minion was not restarted")
    fleet.answers("web02")


def _minion_pid(fleet):
    return fleet.ok("web02", "systemctl", "show", "-P", "MainPID", "salt-minion").strip()


# Its highstate takes a few seconds only: who kills it has to be there before.
KILL_AT_WORK = """
for try in $(seq 900); do
    [ -z "$(ls /var/cache/salt/minion/proc)" ] || exec systemctl kill --kill-whom=all -s KILL salt-minion
    sleep 0.1
done
exit 1
"""


def test_a_minion_killed_in_the_middle_ends_clean_when_run_again(fleet):
    fleet.ok("license01", "sh", "-c", "rm /etc/sudoers.d/operators /etc/nftables.conf")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        killed = pool.submit(fleet.ok, "license01", "sh", "-c", KILL_AT_WORK)
        fleet.ok("ct1", "salt", "--async", "license01", "state.highstate")
        killed.result()
    fleet.answers("license01")
    (done,) = fleet.highstate("license01").values()
    assert failed(done) == []
    (again,) = fleet.highstate("license01").values()
    assert changed(again) == []


def test_what_fails_and_who_is_down_is_named_and_the_rest_converge(fleet):
    fleet.ok("sendy", "systemctl", "stop", "salt-minion")
    fleet.ok("dev02", "sh", "-c", "rm /etc/hosts /etc/sudoers.d/operators && mkdir /etc/hosts")
    try:
        done = fleet.start("sendy", "dev02")
        assert done.returncode == 1
        said = done.stdout.splitlines()
        assert any(line.startswith("sendy: ") and "did not return" in line for line in said), done.stdout
        assert any(line.startswith("dev02: ") and "host-names" in line for line in said), done.stdout
        assert fleet.run("dev02", "test", "-s", "/etc/sudoers.d/operators").returncode == 0
    finally:
        fleet.ok("dev02", "rmdir", "/etc/hosts")
        fleet.ok("sendy", "systemctl", "start", "salt-minion")
    fleet.answers("sendy")
    (done,) = fleet.highstate("dev02").values()
    assert (failed(done), changed(done)) == ([], ["host-names"])


def test_logs_are_rotated_and_their_archives_left_alone(fleet):
    for server in ("ct1", "web02"):
        for _ in range(3):
            fleet.ok(
                server, "sh", "-c", "for log in $(ls -d /var/log/salt*/* | grep -v gz); do echo line >> $log; done"
            )
            fleet.ok(server, "/usr/sbin/logrotate", "--force", "/etc/logrotate.conf")
        names = fleet.ok(server, "sh", "-c", "ls /var/log/salt*/").split()
        assert [name for name in names if name.count(".gz") > 1 or name.count(".1") > 1] == []
        assert [name for name in names if name.endswith(".2.gz")], "it rotated"
