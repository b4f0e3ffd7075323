"""What the lab says before it makes anything."""

import json
import subprocess

import pytest

from lab import __main__ as command
from lab import lock, network, podman, preflight, settings, shell
from lab.errors import LabError
from lab.paths import LAB
from lab.progress import Progress


@pytest.mark.parametrize(
    ("cgroup_v2", "systemd", "crun", "flags"),
    [
        (True, True, True, ["crun", "systemd"]),
        (True, True, False, ["runc", "systemd"]),
        (True, False, True, ["crun", "cgroupfs"]),
        (False, True, True, ["runc", "cgroupfs"]),
    ],
)
def test_the_runtime_is_the_one_that_can_run_here(cgroup_v2, systemd, crun, flags):
    assert podman.flags_for(cgroup_v2, systemd, crun)[1::2] == flags


@pytest.mark.parametrize(
    ("labels", "ours"), [({"insync-lab": "true"}, True), ({"insync-lab": "no"}, False), ({}, False), (None, False)]
)
def test_only_the_label_makes_a_thing_ours(labels, ours):
    assert podman.is_ours(labels) is ours


@pytest.mark.parametrize("version", ["podman version 4.3.1", "podman version 5.0.0-dev"])
def test_podman_is_new_enough(version):
    assert preflight.too_old(version) == ""


@pytest.mark.parametrize("version", ["podman version 4.2.0", "podman version 3.4.4", "nonsense"])
def test_podman_is_too_old(version):
    assert (
        preflight.too_old(version) == f"{version} is too old, 4.3 is needed; install Debian 12's podman or a later one"
    )


SUBNETS = {"private": "10.132.0.0/16", "public": "198.51.100.0/24"}


@pytest.mark.parametrize(
    ("what", "where"),
    [("the resolver", "10.132.255.53"), ("a route on eth0", "198.51.0.0/16"), ("a route on eth1", "10.132.7.0/24")],
)
def test_a_range_that_is_in_use_is_named(what, where):
    (line,) = network.collisions(SUBNETS, [("the gateway", "192.0.2.1"), (what, where)])
    assert line.endswith(f"covers {what} ({where})")


def test_ranges_beside_ours_and_ipv6_are_no_collision():
    assert network.collisions(SUBNETS, [("a", "10.131.255.255"), ("b", "fd00::1"), ("c", "198.51.101.0/24")]) == []


def test_too_little_room_is_named_with_where_and_how_much(tmp_path):
    preflight.check_space(0, [tmp_path / "not" / "there"])
    with pytest.raises(LabError, match=rf"{tmp_path}: .* GiB free, 1000000 needed"):
        preflight.check_space(1000000, [tmp_path / "not" / "there"])


def test_the_inotify_limit_is_raised_told_and_put_back(tmp_path):
    limit, record, said = tmp_path / "limit", tmp_path / "state" / "record", []
    limit.write_text("128\n")
    preflight.raise_inotify(said.append, limit, record)
    assert limit.read_text() == "1024"
    assert "raised from 128 to 1024" in said[0]
    assert preflight.restore_inotify(limit, record)
    assert limit.read_text() == "128"
    assert not preflight.restore_inotify(limit, record)


def test_a_limit_that_is_high_enough_or_was_changed_since_is_left_alone(tmp_path):
    limit, record = tmp_path / "limit", tmp_path / "record"
    limit.write_text("8192")
    preflight.raise_inotify(pytest.fail, limit, record)
    assert not record.exists()
    record.write_text(json.dumps({"before": 128, "raised": 1024}))
    assert not preflight.restore_inotify(limit, record)
    assert limit.read_text() == "8192"


@pytest.mark.parametrize(
    ("hard", "options"),
    [
        ({"nofile": 4096, "nproc": -1}, ["nofile=4096:4096", "nproc=8192:8192"]),
        ({"nofile": 1048576, "nproc": 100}, ["nofile=20000:20000", "nproc=100:100"]),
    ],
)
def test_ulimits_stay_at_or_below_the_hard_ones(hard, options):
    assert preflight.ulimits(hard)[1::2] == options


def test_the_second_command_is_told_who_holds_the_lock(tmp_path):
    path = tmp_path / "lock"
    with lock.held(["up", "--hosts", "web02"], path):
        with pytest.raises(
            LabError, match=r"another lab command is running: process \d+, since .*, 'up --hosts web02'"
        ):
            with lock.held(["down"], path):
                pass
    with lock.held(["down"], path):
        pass


def test_a_failed_command_is_one_line_with_its_last_words():
    with pytest.raises(LabError, match="^the step: it is broken$"):
        shell.run(["sh", "-c", "echo first >&2; echo it is broken >&2; exit 3"], what="the step")
    with pytest.raises(LabError, match="no-such-program is not installed"):
        shell.run(["no-such-program"])
    with pytest.raises(LabError, match="no end after 0.1 s"):
        shell.run(["sleep", "5"], timeout=0.1)


def test_a_digest_stands_for_its_inputs():
    assert settings.digest("a", ["b"]) == settings.digest("a", ["b"]) != settings.digest("a", ["c"])


def test_names_of_services_and_redirects_are_in_the_public_dns():
    inventory = {
        "hosts": {
            "ct1": {"public": "198.51.100.11", "roles": ["gateway"]},
            "web02": {"public": "198.51.100.14", "roles": []},
        },
        "services": {"ssh": {"role": "base"}, "way-in": {"role": "gateway", "names": ["ct1.example.com"]}},
        "zones": {"redirects": [{"name": "example.com", "host": "web02"}, {"name": "*.example.net", "host": "ct1"}]},
    }
    records = network.dns_config(inventory, {"acme.example.org": "198.51.100.3"}).splitlines()
    assert records[-4:] == [
        "host-record=ct1.example.com,198.51.100.11",
        "host-record=example.com,198.51.100.14",
        "address=/example.net/198.51.100.11",
        "host-record=acme.example.org,198.51.100.3",
    ]


def test_a_long_phase_is_never_silent(tmp_path):
    with (tmp_path / "out").open("w+") as stream:
        progress = Progress(stream, heartbeat=0.05)
        with progress.phase("highstate", ["web02", "db"]):
            progress.waiting.discard("db")
            while "still waiting" not in (tmp_path / "out").read_text():
                pass
        text = (tmp_path / "out").read_text()
    assert "highstate, 0 s, still waiting for web02\n" in text
    assert list(progress.phases) == ["highstate"]


def test_without_root_setup_says_so_and_does_nothing():
    script = (LAB / "setup").read_text()
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run(
        [*nobody, "sh", "-c", script, "lab/setup", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("lab/setup: needs root")
    assert len(done.stderr.splitlines()) == 1


def test_without_root_the_lab_says_so(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="^needs root"):
        command.main(["down"])


def test_an_unknown_command_is_named_with_the_nearest():
    with pytest.raises(LabError, match="no command 'dwn'; did you mean down"):
        command.main(["dwn"])


def test_which_server_is_asked_for():
    with pytest.raises(LabError, match="make shell HOST=web02"):
        command.main(["shell", ""])
