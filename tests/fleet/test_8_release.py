"""The release verbs as operators type them, under strict load from the internet: nothing is lost, nothing mixed."""

import json
import time

import pytest

from tests.fleet import web
from tests.fleet.conftest import changed, failed
from tests.fleet.load import NOTHING_AMISS, load, reconciled
from tests.fleet.release import LB, POOL, RATE, Begun, active, built, other, ran, refused, standing, strict


def test_restart_web_on_all_servers_at_once(fleet):
    slot, release = active(fleet)
    with strict(fleet) as running:
        answers = fleet.salt("web*", "insync.restart_web")
    assert set(answers) == set(POOL), answers
    for told in answers.values():
        assert told["release"] == release
        assert told["changes"]["slot"]["old"] == slot != told["changes"]["slot"]["new"]
        assert {"in_flight", "seconds", "phases", "by"} <= told.keys()
    assert len(running.report.switches) == 1, "all servers change in the same moment"
    assert active(fleet) == (told["changes"]["slot"]["new"], release)
    for server in POOL:
        pid = web.main_pid(fleet, server, f"web@{told['slot']['new']}")
        nice = fleet.ok(server, "ps", "-o", "ni=", "--pid", pid, "--ppid", pid).split()
        assert set(nice) == {"0"} and len(nice) > 1, "it starts behind the others, but serves beside them"
    fleet.eventually(lambda: web.main_pid(fleet, "web02", f"web@{slot}") == "0", 30, why="the old one is not stopped")


def test_restart_web_on_one_server(fleet):
    slot, _ = active(fleet)
    pids = {server: web.main_pid(fleet, server, f"web@{slot}") for server in POOL}
    with strict(fleet):
        answers = fleet.salt("web02", "insync.restart_web")
    told = answers["web02"]
    assert (told["changes"], told["slot"]) == ({"restarted": ["web02"]}, {"old": slot, "new": slot})
    assert isinstance(told["in_flight"], int) and {"release", "seconds"} <= told.keys()
    after = {server: web.main_pid(fleet, server, f"web@{slot}") for server in POOL}
    assert after[LB] == pids[LB] and after["web02"] not in ("0", pids["web02"])


def test_an_update_moves_all_and_the_way_back_is_short(fleet):
    slot, release = active(fleet)
    with strict(fleet) as running:
        told = ran(fleet, "insync.update_in_web", "insync-web==1.1.0", "insync-core")
        assert {stops_later(fleet, server, slot) for server in POOL} == {"active"}, (
            "kept for the way back, not for good"
        )
        assert told["packages"]["insync-web"] == {"old": "1.0.0", "new": "1.1.0"}
        assert {"look", "resolve", "build", "start", "flip", "watch", "commit"} <= set(told["phases"])
        running.mark("highstate")
        for server, states in fleet.highstate(POOL).items():
            assert (failed(states), changed(states)) == ([], []), server
        running.mark("again")
        assert ran(fleet, "insync.update_in_web", "insync-web==1.1.0")["changes"] == {}
        running.mark("back")
        back = ran(fleet, "insync.rollback_web")
        assert {stops_later(fleet, server, slot) for server in POOL} == {"inactive"}, "it serves again"
    assert told["changes"]["release"]["old"] == release == back["changes"]["release"]["new"]
    assert len(running.report.switches) == 2
    assert active(fleet) == (slot, release)
    record = json.loads(fleet.ok("ct1", "tail", "-n", "1", "/var/lib/insync/web/history.jsonl"))
    assert (record["verb"], record["end"]) == ("insync.rollback_web", "ok")
    assert record["by"] and record["since"] and "flip" in record["phases"]


def stops_later(fleet, server, slot):
    """Whether the timer that stops ``slot`` is active or inactive."""
    return fleet.run(server, "systemctl", "is-active", f"insync-stop-web-{slot}.timer").stdout.strip()


def test_test_mode_tells_and_touches_nothing(fleet):
    before = standing(fleet), built(fleet)
    told = ran(fleet, "insync.update_in_web", "insync-web==1.1.0", "test=True")
    assert told["packages"]["insync-web"]["new"] == "1.1.0" and told["changes"]["slot"]
    assert fleet.salt("web*", "insync.restart_web", "test=True")["web02"]["changes"]["slot"]
    assert (standing(fleet), built(fleet)) == before


NAMES = {
    "insync-wbe": "insync-wbe: not a package of this release; did you mean 'insync-web'?",
    "https://evil.test/x.whl": "neither a name nor name==version; paths, addresses and options are not taken",
    "insync-web;id": "neither a name nor name==version",
    "/srv/insync_web-9.whl": "neither a name nor name==version; paths, addresses and options are not taken",
    "insync-web==9.9.9": "there is no version of insync-web==9.9.9",
    "Flask==0.1": "unsatisfiable",
}
VERSIONS = {
    "1.1.1": "this version is built to be never ready",
    "1.1.2": "this version is built so that it cannot be imported",
    "1.1.3": "too many requests failed",
}


def test_what_is_no_package_or_no_version_is_refused(fleet):
    before = standing(fleet), built(fleet)
    with strict(fleet):
        for name, message in NAMES.items():
            assert message in refused(fleet, "insync.update_in_web", name), name
    assert (standing(fleet), built(fleet)) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_release_ends_with_the_old_one_serving(fleet, version):
    serving = active(fleet)
    with load(fleet, rate=RATE) as running:
        # What is wrong with it is in core.
        packages = [f"insync-web=={version}", f"insync-core=={version}"]
        said = refused(fleet, "insync.update_in_web", *packages)
        time.sleep(1)
    assert VERSIONS[version] in said and f"release {serving[1]} serves as before" in said
    assert "web02: web@" in said or version == "1.1.3"
    assert active(fleet) == serving
    assert web.main_pid(fleet, "web02", f"web@{other(serving[0])}") == "0"
    # One that is good until it is asked was asked, for a moment.
    assert [one for one in running.report.failed if version != "1.1.3" or "500" not in one["what"]] == []
    assert version == "1.1.3" or reconciled(fleet, running.report) == NOTHING_AMISS


def test_a_build_removes_what_nobody_comes_back_to(fleet):
    _, release = active(fleet)
    lock = fleet.ok("web02", "cat", f"/insync/venv/web-{release}.lock")
    old = [f"/insync/venv/web-{number:012}" for number in range(4)]
    fleet.ok("web02", "sh", "-c", 'rm -rf "$@" && mkdir "$@" && touch -d 2020-01-01 "$@"', "sh", *old)
    done = fleet.salt("web02", "insync_slot.build", "web", f"{lock}# the same, under another name\n")["web02"]
    assert done["built"] is True
    left = fleet.salt("web02", "insync_slot.status", "web")["web02"]["releases"]
    assert {release, done["release"]} <= set(left)
    assert len(fleet.run("web02", "ls", "-d", *old).stdout.split()) <= 2, "older than the three newest"
    fleet.salt("web02", "insync_slot.prune", "web", "keep=0")
    left = fleet.salt("web02", "insync_slot.status", "web")["web02"]["releases"]
    assert release in left and done["release"] not in left


def test_a_single_server_is_not_moved_alone(fleet):
    before = standing(fleet)
    done = fleet.run("ct1", "salt", "web02", "insync.update_in_web", "insync-web==1.1.0")
    assert done.returncode == 1
    assert "salt-run insync.update_in_web insync-web==1.1.0" in done.stdout
    assert standing(fleet) == before


def test_what_salt_takes_for_an_option_is_refused_and_not_lost(fleet):
    """Without a word it would be "the newest of everything", or no test at all."""
    before = standing(fleet)
    for words, told in (
        (["insync.update_in_web", "insync-web=2.4.0"], "a version is written insync-web==2.4.0"),
        (["insync.restart_web", "tset=True"], "tset=True: no option"),
    ):
        done = fleet.run("ct1", "salt", "web*", *words)
        assert done.returncode == 1 and told in done.stdout, done.stdout
    assert "keep: 'soon' is no number of seconds" in refused(fleet, "insync.update_in_web", "keep=soon")
    for pillar in ({}, {"package": ["insync-web"]}, {"packages": "insync-web"}):
        done = fleet.run("ct1", "salt-run", "state.orchestrate", "orch.release_web", f"pillar={json.dumps(pillar)}")
        assert done.returncode != 0 and "packages: a list is needed" in done.stdout + done.stderr
    assert standing(fleet) == before


def test_the_second_is_refused_at_once_and_told_who_is_at_it(fleet):
    with strict(fleet):
        with Begun(fleet, "insync.restart_web") as first, first.held_in("look"):
            assert "insync.restart_web is running, by salt, since " in refused(fleet, "insync.restart_web")
        assert first.code == 0, first.said


def test_a_server_that_does_not_answer_is_named_within_seconds(fleet):
    fleet.ok("web02", "systemctl", "kill", "--signal=STOP", "salt-minion")
    try:
        with strict(fleet):
            said = refused(fleet, "insync.restart_web")
            assert "web02: no answer; is it down, or its salt-minion?" in said
    finally:
        fleet.ok("web02", "systemctl", "kill", "--signal=CONT", "salt-minion")
        fleet.answers("web02")


@pytest.mark.alone
def test_without_the_index_one_can_still_restart(fleet):
    fleet.ok("dev", "systemctl", "stop", "nginx")
    try:
        said = refused(fleet, "insync.update_in_web", "insync-web==1.1.0")
        assert "the package index" in said and "does not answer" in said
        with strict(fleet):
            ran(fleet, "insync.restart_web")
    finally:
        fleet.ok("dev", "systemctl", "start", "nginx")


def test_maintenance_of_a_server(fleet):
    with strict(fleet):
        assert ran(fleet, "insync.drain", "web02", "test=True")["changes"]
        assert ran(fleet, "insync.release_status", "web")["web"]["balancer"]["web02"] == "UP"
        assert ran(fleet, "insync.drain", "web02")["changes"]
        assert ran(fleet, "insync.drain", "web02")["changes"] == {}
        assert f"{LB} is the last server of web that is UP" in refused(fleet, "insync.drain", LB)
        assert "not all of web serves: web02" in refused(fleet, "insync.restart_web")
        assert ran(fleet, "insync.undrain", "web02")["changes"]


def test_the_orchestration_does_the_same(fleet):
    pillar = json.dumps({"packages": ["insync-web==1.1.0", "insync-core==1.1.0"]})
    with strict(fleet):
        done = fleet.run("ct1", "salt-run", "state.orchestrate", "orch.release_web", f"pillar={pillar}")
    assert done.returncode == 0, done.stdout
    assert json.loads(web.get(fleet, "/version")[1])["version"] == "1.1.0"
    bad = json.dumps({"packages": ["insync-wbe"]})
    done = fleet.run("ct1", "salt-run", "state.orchestrate", "orch.release_web", f"pillar={bad}")
    assert done.returncode != 0 and "insync-wbe: not a package of this release" in done.stdout
    ran(fleet, "insync.rollback_web")


def test_license_moves_the_same_way(fleet):
    with strict(fleet, "license") as running:
        answers = fleet.salt("license*", "insync.restart_license")
    assert set(answers) == {"license01", "license02"}
    assert len(running.report.switches) == 1
