"""What may happen to a release while customers are served; in full size by `make drills`."""

import contextlib
import json

import pytest

from tests.fleet import web
from tests.fleet.conftest import changed, failed
from tests.fleet.release import (
    LB,
    POOL,
    Begun,
    active,
    full,
    other,
    ran,
    record,
    refused,
    salt_run,
    standing,
    strict,
)
from tests.fleet.web import Stopped

NEW = ["insync-web==1.1.0", "insync-core==1.1.0"]
OLD = ["insync-web==1.0.0", "insync-core==1.0.0"]
# What is seen in small by a test beside it, or by another drill.
FULL_SIZE = pytest.mark.full_size


@pytest.fixture(autouse=True)
def former_release(fleet):
    """Every drill begins and ends with the former release, on servers that all serve."""
    yield
    if json.loads(web.get(fleet, "/version")[1])["version"] != "1.0.0":
        ran(fleet, "insync.update_in_web", *OLD, "watch=0")
    active(fleet)


def moves(fleet, drills, name, verbs, seconds_of):
    """Run each of ``verbs`` (lists of str) while at least as many customers as wanted are served."""
    for number in range(1, drills.size(1, 10) + 1):
        with strict(fleet, rate=drills.size(300, 500), least=drills.size(2_000, 50_000)) as running:
            running.mark("verbs")
            seconds = [ran(fleet, *verb)[seconds_of] for verb in verbs]
            running.mark("after")
        assert len(running.report.switches) == len(verbs), "each of them moves all servers in one moment"
        drills.note(f"{name}, {number}", len(verbs), running.report, seconds)


def test_restarts_under_load(fleet, drills):
    moves(fleet, drills, "restart", [["insync.restart_web"]] * drills.size(2, 4), "seconds")


def test_updates_under_load(fleet, drills):
    there_and_back = [["insync.update_in_web", *packages] for packages in (NEW, OLD)]
    moves(fleet, drills, "update", there_and_back * drills.size(1, 2), "seconds")


# Broken, full, down.


def test_a_release_that_is_broken_on_one_server_goes_nowhere(fleet):
    ran(fleet, "insync.update_in_web", *NEW, "watch=0")
    home = f"/insync/venv/web-{active(fleet)[1]}"
    slot = ran(fleet, "insync.rollback_web")["changes"]["slot"]["new"]
    damage = f"""echo 'raise OSError("damaged here")' | tee {home}/lib/python3*/site-packages/insync_web/__init__.py"""
    fleet.ok("web02", "sh", "-c", damage)
    try:
        with strict(fleet):
            said = refused(fleet, "insync.update_in_web", *NEW)
        assert "web02: web@" in said and "damaged here" in said and "web-lb02: " not in said
        assert active(fleet)[0] == slot
    finally:
        fleet.ok("web02", "rm", "-rf", home)


FULL = {
    ("web02", "/insync/venv"): "web02: only 0 MiB are free in /insync/venv",
    ("web02", "/var/lib/insync/web"): "commit failed",
    (LB, "/etc/haproxy"): "flip failed",
    ("ct1", "/var/lib/insync/web"): "No space left on device",
}


FIRST, *REST = FULL


@pytest.mark.parametrize(("server", "folder"), [FIRST, *(pytest.param(*one, marks=FULL_SIZE) for one in REST)])
def test_a_full_disk_moves_nothing(fleet, server, folder):
    before = standing(fleet)
    with strict(fleet), full(fleet, server, folder):
        said = refused(fleet, "insync.update_in_web", *NEW)
    assert FULL[server, folder] in said and "not all could be put back" not in said
    assert standing(fleet) == before


def test_a_balancer_that_is_down_is_named(fleet):
    before = standing(fleet)
    with Stopped(fleet, LB, "haproxy"):
        said = refused(fleet, "insync.update_in_web", *NEW)
        assert f"{LB}: HAProxy does not answer at /run/haproxy/admin.sock" in said and "does it run?" in said
    assert standing(fleet) == before


@FULL_SIZE
def test_a_backend_that_is_down_is_named(fleet):
    before = standing(fleet)
    slot, _ = active(fleet)

    def found():
        return ran(fleet, "insync.release_status", "web")["web"]["balancer"]["web02"]

    with contextlib.ExitStack() as down:
        # Before the load: what ends while it is asked takes what it has not read yet with it.
        down.enter_context(Stopped(fleet, "web02", f"web@{slot}"))
        fleet.eventually(lambda: found() == "DOWN")
        with strict(fleet):
            assert "not all of web serves: web02 DOWN" in refused(fleet, "insync.restart_web")
            down.close()
            fleet.eventually(lambda: found() == "UP")
    assert standing(fleet)["map"] == before["map"]


@FULL_SIZE
def test_a_backend_that_is_frozen_is_found_and_named(fleet, drills):
    """What it has taken it does not answer, so nobody asks while it freezes; from then on nobody is kept waiting."""
    slot, _ = active(fleet)
    unit = f"web@{slot}"
    fleet.ok("web02", "systemctl", "kill", "--signal=STOP", unit)
    try:
        fleet.eventually(lambda: ran(fleet, "insync.release_status", "web")["web"]["balancer"]["web02"] == "DOWN", 30)
        with strict(fleet):
            assert "not all of web serves: web02 DOWN" in refused(fleet, "insync.restart_web")
    finally:
        fleet.ok("web02", "systemctl", "kill", "--signal=CONT", unit)
    fleet.eventually(lambda: ran(fleet, "insync.release_status", "web")["web"]["balancer"]["web02"] == "UP", 60)


@FULL_SIZE
def test_a_server_made_anew_can_go_back_with_the_others(fleet):
    ran(fleet, "insync.update_in_web", *NEW, "watch=0")
    before = json.loads(fleet.ok("web02", "cat", "/var/lib/insync/web/state.json"))["previous"]
    with strict(fleet):
        fleet.ok("web02", "sh", "-c", f"rm -rf /insync/venv/web-{before}*")
        assert ran(fleet, "insync.rollback_web")["changes"]["release"]["new"] == before


@pytest.mark.alone
@FULL_SIZE
def test_without_the_index_one_can_go_back(fleet):
    ran(fleet, "insync.update_in_web", *NEW, "watch=0")
    with Stopped(fleet, "dev", "nginx"), strict(fleet):
        assert ran(fleet, "insync.rollback_web")["changes"]["release"]


# In the middle of it.


@FULL_SIZE
@pytest.mark.parametrize("phase", ["start", "watch"])
def test_the_balancer_is_reloaded_in_the_middle(fleet, phase):
    with strict(fleet) as running:
        with Begun(fleet, "insync.update_in_web", *NEW) as verb:
            verb.reached(phase)
            fleet.ok(LB, "systemctl", "reload", "haproxy")
        assert verb.code == 0, verb.said
    assert len(running.report.switches) == 1


@pytest.mark.parametrize("phase", [pytest.param("start", marks=FULL_SIZE), "watch"])
def test_the_balancer_is_restarted_in_the_middle(fleet, phase):
    """Its start costs requests; which of the two releases serves then is told, and it is one."""
    serving = active(fleet)
    with Begun(fleet, "insync.update_in_web", *NEW) as verb:
        verb.reached(phase)
        fleet.ok(LB, "systemctl", "restart", "haproxy")
    slot, release = active(fleet)
    assert (verb.code == 0) == (slot != serving[0]) == (release != serving[1]), verb.said


def test_a_highstate_in_the_middle_changes_nothing(fleet):
    with strict(fleet), Begun(fleet, "insync.update_in_web", *NEW) as verb:
        verb.reached("look")
        during = fleet.highstate(POOL)
    assert verb.code == 0, verb.said
    for server, states in {**during, **fleet.highstate(POOL)}.items():
        assert (failed(states), changed(states)) == ([], []), server


RESTART = ("look", "start", "flip", "commit", "drain", "stop")
UPDATE = ("resolve", "build", "watch", "stop")


def test_a_run_that_is_killed_is_ended_by_the_next(fleet, drills):
    ways = [(phase, ["insync.restart_web"]) for phase in drills.size(("flip",), RESTART)]
    ways += [(phase, ["insync.update_in_web", *NEW]) for phase in drills.size(("watch",), UPDATE)]
    with strict(fleet):
        for phase, verb in ways:
            with Begun(fleet, *verb) as begun:
                begun.killed_in(phase)
            assert record(fleet)["end"] == "", f"{phase}: it ended before it was killed: {begun.said}"
            fleet.eventually(lambda: salt_run(fleet, "insync.restart_web")[0] == 0, 60)
            active(fleet)
            ran(fleet, "insync.update_in_web", *OLD, "watch=0")


# After it.


@pytest.mark.alone
@FULL_SIZE
def test_a_server_that_is_made_anew_gets_what_its_pool_serves_as_soon_as_the_index_answers(fleet):
    ran(fleet, "insync.update_in_web", *NEW, "watch=0")
    serving = active(fleet)
    blank = (
        "systemctl --quiet disable --now web@blue web@green; "
        "rm -rf /var/lib/insync/web/state.json /insync/venv/web* /etc/insync/web/*.env"
    )
    with strict(fleet):
        # A process that is ended while it is asked takes what it has not read yet with it.
        ran(fleet, "insync.drain", "web02")
        fleet.ok("web02", "sh", "-c", blank)
        with Stopped(fleet, "dev", "nginx"):
            (states,) = fleet.highstate("web02").values()
        (comment,) = [state["comment"] for state in states if state["result"] is False]
        assert "dev.insync.internal" in comment and "\n" not in comment
        (states,) = fleet.highstate("web02").values()
        ran(fleet, "insync.undrain", "web02")
    assert (failed(states), changed(states)) == ([], ["app-web-release"])
    assert active(fleet) == serving


@FULL_SIZE
def test_a_release_outlives_a_reboot_of_everyone(fleet):
    ran(fleet, "insync.update_in_web", *NEW, "watch=0")
    serving = active(fleet)
    with strict(fleet):
        ran(fleet, "insync.drain", "web02")
    # Its journal does not outlive the container's boot, so it begins anew.
    with strict(fleet):
        fleet.reboot("web02")
        fleet.answers("web02")
        ran(fleet, "insync.undrain", "web02")
    fleet.reboot(LB)
    fleet.answers(LB)
    fleet.eventually(lambda: web.get(fleet, "/version")[0] == 200)
    assert active(fleet) == serving
    for server, states in fleet.highstate(POOL).items():
        assert (failed(states), changed(states)) == ([], []), server
    assert web.main_pid(fleet, "web02", f"web@{other(serving[0])}") == "0"


# What has one slot.


@FULL_SIZE
def test_the_mailer_moves_and_no_mail_is_lost_or_doubled(fleet):
    recipients = [web.address() for _ in range(6)]
    before = ran(fleet, "insync.release_status", "mailer")["mailer"]["servers"]["beanstalkd"]["release"]
    for recipient in recipients[:2]:
        assert web.sign_up(fleet, recipient)[0] == 201
    told = ran(fleet, "insync.update_in", "mailer", "insync-mailer==1.1.0", "insync-core==1.1.0")
    assert told["changes"]["release"]["old"] == before and told["packages"]["insync-mailer"]["new"] == "1.1.0"
    for recipient in recipients[2:4]:
        assert web.sign_up(fleet, recipient)[0] == 201
    said = refused(fleet, "insync.update_in", "mailer", "insync-mailer==1.1.1", "insync-core==1.1.1")
    assert "beanstalkd: mailer: " in said and f"release {told['release']} runs as before" in said
    (states,) = fleet.highstate("beanstalkd").values()
    assert (failed(states), changed(states)) == ([], [])
    for recipient in recipients[4:]:
        assert web.sign_up(fleet, recipient)[0] == 201
    assert ran(fleet, "insync.rollback", "mailer")["changes"]["release"]["new"] == before
    for recipient in recipients:
        fleet.eventually(lambda recipient=recipient: len(web.mails_to(fleet, recipient)) == 1)


@pytest.mark.alone
def test_the_conf_server_moves_and_comes_back(fleet):
    told = ran(fleet, "insync.update_in", "conf_server", "insync-conf-server==1.1.0")
    assert web.missing(fleet, "web02") == []
    assert ran(fleet, "insync.rollback", "conf_server")["changes"]["release"]["old"] == told["release"]
    assert "restarted" in ran(fleet, "insync.restart", "periodic_mailer")["changes"]
    assert "conf_sever: no application of this fleet; did you mean 'conf_server'?" in refused(
        fleet, "insync.restart", "conf_sever"
    )
