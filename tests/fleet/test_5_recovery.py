"""Restarts, a blank droplet, the step from the previous revision, and a new Salt release."""

import concurrent.futures
import subprocess

import pytest

from tests.fleet.conftest import ROOT, SERVERS, changed, failed, planned


def _podman(*arguments):
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_every_server_comes_back_from_a_restart(fleet):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda server: _podman("restart", "-t", "10", f"insync-{server}"), SERVERS))
    assert [result.stderr for result in done if result.returncode] == []
    for server in SERVERS:
        fleet.eventually(lambda server=server: _running(fleet, server), why=f"{server} is not running again")
    fleet.eventually(lambda: all(fleet.salt("*", "test.ping").get(server) is True for server in SERVERS), seconds=180)
    answers = fleet.salt("*", "insync.ports")
    assert {server: answers[server]["missing"] for server in SERVERS} == {server: [] for server in SERVERS}
    results = fleet.highstate("*", "test=True")
    assert {server: planned(states) for server, states in results.items()} == {server: [] for server in SERVERS}


def _running(fleet, server):
    return fleet.run(server, "systemctl", "is-system-running").stdout.strip() == "running"


def test_a_blank_droplet_becomes_a_minion_and_converges(fleet):
    done = subprocess.run(
        [".venv/bin/python", "-m", "lab", "up", "--blank", "insynchq-web-staging", "--hosts", "insynchq-web-staging"],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    (again,) = fleet.highstate("insynchq-web-staging").values()
    assert (failed(again), changed(again)) == ([], [])


@pytest.fixture
def checkout(tmp_path):
    """Clone this repository at a revision; skip where there is no history to step from."""

    def at(revision):
        target = tmp_path / "checkout"
        subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(target)], check=True)
        subprocess.run(["git", "-C", str(target), "checkout", "--quiet", revision], check=True)
        return target

    return at


def _deploy(fleet, checkout, wheelhouse="$(ls -t /root/salt-*.tar | head -1)"):
    """Deploy ``checkout`` as an operator would: put it on ct1 and run its bootstrap there."""
    files = subprocess.run(["bootstrap/files"], cwd=checkout, capture_output=True, check=True).stdout
    tar = subprocess.run(["tar", "-cf", "-", "-T", "-"], cwd=checkout, input=files, capture_output=True, check=True).stdout
    subprocess.run(["podman", "exec", "-i", "insync-ct1", "sh", "-c", "rm -rf /root/other && mkdir /root/other && tar -C /root/other -xmf -"], input=tar, check=True)
    fleet.ok("ct1", "sh", "-c", f"/root/other/bootstrap/ct1 --site /srv/insync/site --wheelhouse {wheelhouse}", timeout=600)
    fleet.ok("ct1", "salt-run", "insync.sync")


def _head():
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_this_revision_applies_on_top_of_the_previous_one(fleet, checkout):
    previous = subprocess.run(["git", "rev-parse", "--verify", "HEAD~1"], cwd=ROOT, capture_output=True, text=True, check=False)
    if previous.returncode:
        pytest.skip("this clone has no previous revision to step from")
    servers = ["ct1", "web02", "db"]
    try:
        _deploy(fleet, checkout(previous.stdout.strip()))
        for server, states in fleet.highstate(servers).items():
            assert failed(states) == [], server
    finally:
        fleet.start()
    results = fleet.highstate(servers)
    assert {server: (failed(states), changed(states)) for server, states in results.items()} == dict.fromkeys(servers, ([], []))
