"""Customers look for updates while ct1 publishes, is killed, and publishes on; at full size by `make drills`."""

import contextlib
import random
import subprocess
import time

import pytest

from tests.fleet.conftest import ROOT
from tests.fleet.repositories import FORMER, NEW, YUM, Apt, Dnf, blank, verb

CUSTOMERS = ROOT / "tests" / "fleet" / "customers.sh"
BASEURL = f"baseurl={YUM}/fedora/$releasever/"
MIRRORLIST = f"mirrorlist={YUM}/fedora/$releasever/mirrorlist"
# What is published, and nothing between them.
STATES = {(FORMER,), (NEW, FORMER)}


@pytest.fixture(scope="module")
def released(fleet):
    blank(fleet)
    add(fleet, FORMER)
    verb(fleet, "sync_repos")
    fleet.ok("world", "sh", "-c", "cat > /srv/customers.sh", stdin=CUSTOMERS.read_text(encoding="utf-8"))


class Customer:
    """One who looks for updates all the time."""

    def __init__(self, fleet, pause, name, program, folder):
        self.fleet, self.name, self.folder = fleet, name, folder
        argv = ["podman", "exec", "insync-world", "sh", "/srv/customers.sh", program, folder, str(pause)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)

    def looks(self):
        """Return each look: the versions that were on offer, or the line that says what failed."""
        lines = self.fleet.ok("world", "cat", f"{self.folder}/seen").splitlines()
        return [tuple(line.split()[1:]) if line.startswith("offers") else line for line in lines]

    def stop(self):
        """Let it look a last time."""
        self.fleet.ok("world", "touch", f"{self.folder}/stop")
        self.process.wait(120)


@contextlib.contextmanager
def customers(fleet, drills):
    """Some with apt, one of them with a slow line, and two with dnf, while the block runs."""
    numbers = range(drills.size(1, 2))
    folders = [(f"apt {number + 1}", "apt", Apt(fleet, f"loop-{number}").folder) for number in numbers]
    folders.append(("apt, slow", "apt", Apt(fleet, "loop-slow").folder))
    slow = 'echo \'Acquire::http::Dl-Limit "2";\' >> "$0"'
    fleet.ok("world", "sh", "-c", slow, f"{folders[-1][2]}/apt.conf")
    for name, line in (("dnf, mirrorlist", MIRRORLIST), ("dnf, baseurl", BASEURL)):
        folders.append((name, "dnf", Dnf(fleet, f"loop-{line[:4]}", line).root))
    # Two processors publish no faster than they are let.
    there = [Customer(fleet, drills.size(0.5, 0), *found) for found in folders]
    try:
        yield there
    finally:
        for customer in there:
            customer.stop()


def add(fleet, version):
    """Add ``version`` to both repositories."""
    for name in ("update_apt_repo", "update_yum_repo"):
        verb(fleet, name, version)


def change(fleet, number):
    """Add the new version, or go back to the former, in turns."""
    if number % 2:
        verb(fleet, "rollback_repos", f"leaving={NEW}")
    else:
        add(fleet, NEW)


def judged(drills, name, publications, there):
    """Note what each customer saw, and fail unless it was always one published state, whole."""
    for customer in there:
        looks = customer.looks()
        failed = [look for look in looks if isinstance(look, str)]
        half = [look for look in looks if not isinstance(look, str) and look not in STATES]
        drills.note_customer(name, customer.name, publications, len(looks), len(failed), len(half))
        # Two files that change are never changed in one moment; who asks by a mirrorlist does not need that.
        allowed = max(1, len(looks) // 100) if customer.name.endswith("baseurl") else 0
        assert len(failed) <= allowed and not half, f"{customer.name}: {failed[:3]} {half[:3]}"
        assert len(set(looks) - {*failed}) == 2, f"{customer.name} did not see both states"


@pytest.mark.full_size
def test_customers_look_while_ct1_publishes(fleet, released, drills):
    publications = drills.size(2, 70)
    with customers(fleet, drills) as there:
        for number in range(publications):
            change(fleet, number)
            assert all(one["changes"] for one in verb(fleet, "sync_repos").values())
    judged(drills, "publications, half of them back", publications, there)


@pytest.mark.full_size
def test_a_sync_is_killed_at_any_moment(fleet, released, drills):
    kills = drills.size(2, 30)
    with customers(fleet, drills) as there:
        for number in range(kills):
            change(fleet, number)
            fleet.ok("ct1", "salt", "--async", "ct1", "insync.sync_repos")
            killed_after(fleet, random.uniform(0, 2.5))
            verb(fleet, "sync_repos")
    judged(drills, "kill -9 while it publishes", kills, there)
    found = verb(fleet, "repo_status")
    assert (found["apt"]["drift"], found["yum"]["drift"]) == ({}, {})


def killed_after(fleet, seconds):
    """Kill the process of a sync so many seconds after it has begun, if it is still at it then."""
    script = (
        "lock=/run/lock/insync-repos.lock; for try in $(seq 200); do "
        "grep -q sync_repos $lock && ! flock --nonblock $lock true && break; sleep 0.02; done; "
        f"sleep {seconds:.2f}; flock --nonblock $lock true || kill -9 $(sed -n 's/.*process //p' $lock)"
    )
    fleet.run("ct1", "sh", "-c", script)
    time.sleep(0.2)
