"""From a request on www.insynchq.com to a delivered mail, and what happens when a part of the way is missing."""

import contextlib
import json
import re
import time

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, planned
from tests.fleet.load import load
from tests.fleet.web import Stopped

BACKENDS = ["web-lb02", "web02"]
LICENSES = ["license01", "license02"]


@pytest.fixture(scope="module", autouse=True)
def all_ready(fleet):
    """The story begins where everything is there."""
    for server in BACKENDS:
        fleet.eventually(
            lambda server=server: web.readiness(fleet, server).get("ok"), why=f"web on {server} is not ready"
        )
    for server in LICENSES:
        ready = lambda server=server: web.readiness(fleet, server, "license").get("ok")  # noqa: E731
        fleet.eventually(ready, why=f"license on {server} is not ready")
    fleet.eventually(lambda: web.get(fleet, "/version")[0] == 200, why="the site does not answer")


def ready_again(fleet):
    """Wait until both backends are ready and the load balancer has taken them in again."""
    for server in BACKENDS:
        fleet.eventually(lambda server=server: web.missing(fleet, server) == [], why=f"{server} did not recover")
    fleet.eventually(lambda: hosts_that_answer(fleet) == set(BACKENDS), why="the load balancer did not take both in")


def hosts_that_answer(fleet, count=8):
    answers = [web.get(fleet, "/version") for _ in range(count)]
    return {json.loads(body)["host"] if status == 200 else status for status, body in answers}


def wait_for_mail(fleet, recipient, seconds=60):
    """Return the one mail to ``recipient``."""
    mails = fleet.eventually(lambda: web.mails_to(fleet, recipient), seconds, why=f"no mail to {recipient}")
    assert len(mails) == 1, mails
    return mails[0]


# The story.


def test_the_site_answers_from_both_backends_with_one_release(fleet):
    answers = [json.loads(web.get(fleet, "/version")[1]) for _ in range(12)]
    assert {answer["host"] for answer in answers} == set(BACKENDS)
    assert len({(answer["release"], answer["version"]) for answer in answers}) == 1
    assert all(answer["release"] and answer["version"] and answer["stand_in"] is True for answer in answers)


@pytest.mark.alone
def test_the_page_shows_what_the_conf_server_says_and_follows_it_without_a_restart(fleet):
    declared = json.loads(web.jt(fleet, "get", "greeting", "--ns", "web"))
    assert declared in web.get(fleet, "/")[1]
    before = {server: web.main_pid(fleet, server, web.active_unit(fleet, server)) for server in BACKENDS}
    web.jt(fleet, "load", "-", "--ns", "web", stdin='{"greeting": "Typed by hand"}')
    shown = lambda words: all(words in web.get(fleet, "/")[1] for _ in range(6))  # noqa: E731
    fleet.eventually(lambda: shown("Typed by hand"), 30, why="the page does not follow the conf server")
    (dry,) = fleet.highstate("ct1", "test=True").values()
    (done,) = fleet.highstate("ct1").values()
    assert planned(dry) == changed(done) == ["conf-web"]
    (change,) = [state["changes"] for state in done if state["__id__"] == "conf-web"]
    assert change == {"updated": ["greeting"]}, "the key, and never the value"
    fleet.eventually(lambda: shown(declared), 30, why="the declared greeting is not back")
    assert {server: web.main_pid(fleet, server, web.active_unit(fleet, server)) for server in BACKENDS} == before


def test_a_sign_up_is_a_row_a_count_and_one_mail(fleet):
    recipient = web.address()
    before = _signups(fleet)
    status, answer = web.sign_up(fleet, recipient)
    assert status == 201, answer
    mail = wait_for_mail(fleet, recipient)
    assert f"Message-ID: <{answer['job']}@insynchq.com>" in mail
    row = fleet.ok("db", "mariadb", "-N", "-e", f"SELECT id FROM insync.users WHERE email = '{recipient}'")
    assert row.strip() == str(answer["user"])
    assert _signups(fleet) == before + 1
    sent = fleet.ok(
        "db", "mariadb", "-N", "-e", f"SELECT state FROM insync_mail.sent_mail WHERE id = '{answer['job']}'"
    )
    assert sent.strip() == "sent"
    assert web.sign_up(fleet, recipient)[0] == 409, "nobody signs up twice"
    assert web.sign_up(fleet, "no address")[0] == 400
    time.sleep(3)
    assert len(web.mails_to(fleet, recipient)) == 1


def _signups(fleet):
    """What redis has counted."""
    return int(web.redis(fleet, ["GET", "web:signups"]) or 0)


def test_regular_mails_are_sent_once_a_period_with_two_of_them_running(fleet):
    """The second one is a copy of the unit; the relay sees every digest of the next two periods once."""
    unit = fleet.ok("beanstalkd", "systemctl", "cat", "--no-pager", "periodic_mailer.service")
    second = unit.replace("main.env", "second.env").replace(
        "StateDirectory=insync-periodic-mailer", "StateDirectory=second"
    )
    fleet.ok("beanstalkd", "sh", "-c", "cat > /run/systemd/system/second.service", stdin=second)
    copy = "cd /etc/insync/periodic_mailer && sed s/^PORT=.*/PORT=8139/ main.env > second.env"
    fleet.ok("beanstalkd", "sh", "-c", f"{copy} && systemctl daemon-reload && systemctl start second")
    try:
        fleet.eventually(lambda: web.loopback(fleet, "beanstalkd", 8139, "/readyz")[0] == 200, why="no second one")
        before = _digests(fleet)
        fleet.eventually(lambda: len(set(_digests(fleet)) - set(before)) >= 2, 200, why="no digests were sent")
        new = _digests(fleet)
        assert len(new) == len(set(new)), sorted(new)
        periods = sorted({int(name.split("-")[1]) for name in new})
        assert periods[-3:] == list(range(periods[-1] - len(periods[-3:]) + 1, periods[-1] + 1)), (
            "no period is left out"
        )
    finally:
        fleet.run("beanstalkd", "systemctl", "stop", "second")
        remove = "rm -rf /run/systemd/system/second.service /etc/insync/periodic_mailer/second.env /var/lib/second"
        fleet.ok("beanstalkd", "sh", "-c", f"{remove} && systemctl daemon-reload")


def _digests(fleet):
    """The ids of the digests that the relay took."""
    said = fleet.run("cloud", "sh", "-c", f"grep -h '^Message-ID: <digest-' {web.MAILS}/* 2>/dev/null").stdout
    return re.findall(r"<(digest-\d+-\d+)@", said)


def test_licenses_are_answered_by_both_servers_and_by_either_alone(fleet):
    def servers(count=8):
        said = [web.get(fleet, "/license/LAB-0001", "--include") for _ in range(count)]
        assert {status for status, _ in said} == {200}, said
        assert all(json.loads(body.splitlines()[-1]) == {"valid": True, "plan": "prime"} for _, body in said)
        return {re.search(r"(?i)^x-served-by: (\S+)", body, re.MULTILINE)[1] for _, body in said}

    fleet.eventually(lambda: servers() == set(LICENSES), 30)
    assert web.get(fleet, "/license/LAB-9999")[0] == 404
    for server, other in (LICENSES, LICENSES[::-1]):
        with Stopped(fleet, server, web.active_unit(fleet, server, "license")):
            assert servers() == {other}, "the first request too: what cannot be reached is asked elsewhere"
    fleet.eventually(lambda: servers() == set(LICENSES), 30)


# What is missing is said, taken out, and comes back by itself.

# Server, unit, what its clients call it, and which of them need it beside web.
DEPENDENCIES = [
    ("db", "mariadb", "mysql", ["license", "mailer", "periodic_mailer"]),
    ("redis", "redis-server@main", "redis", ["periodic_mailer"]),
]
PLACES = {"web": BACKENDS, "license": LICENSES, "mailer": ["beanstalkd"], "periodic_mailer": ["beanstalkd"]}


@pytest.mark.parametrize("server, unit, name, others", DEPENDENCIES)
def test_a_missing_dependency_is_named_and_all_recovers(fleet, server, unit, name, others):
    asking = [(place, app) for app in ["web", *others] for place in PLACES[app]]
    with Stopped(fleet, server, unit):
        for place, app in asking:
            told = lambda place=place, app=app: web.missing(fleet, place, app) == [name]  # noqa: E731
            fleet.eventually(told, 20, why=f"{app} on {place} does not say that {name} is missing")
        fleet.eventually(lambda: web.get(fleet, "/version")[0] == 503, 20, why="nobody is ready, and nobody says so")
        if "license" in others:
            told = lambda: web.get(fleet, "/license/LAB-0001")[0] == 503  # noqa: E731
            fleet.eventually(told, 20, why="license does not answer 503")
        status, page = web.get(fleet, "/", "--include")
        assert (status, "retry-after: " in page.lower(), "<html" in page) == (503, True, True), page
    ready_again(fleet)
    for place, app in asking:
        well = lambda place=place, app=app: web.missing(fleet, place, app) == []  # noqa: E731
        fleet.eventually(well, 30, why=f"{app} on {place} did not recover")
    recipient = web.address()
    assert fleet.eventually(lambda: web.sign_up(fleet, recipient), 30)[0] == 201
    wait_for_mail(fleet, recipient)


def test_sign_ups_go_on_without_the_queue_and_their_mails_follow(fleet):
    recipient = web.address()
    with Stopped(fleet, "beanstalkd", "beanstalkd"):
        told = lambda: web.missing(fleet, "beanstalkd", "mailer") == ["beanstalkd"]  # noqa: E731
        fleet.eventually(told, 20, why="the mailer does not say that the queue is missing")
        assert web.sign_up(fleet, recipient)[0] == 201
        assert [web.missing(fleet, server) for server in BACKENDS] == [[], []]
        assert web.missing(fleet, "beanstalkd", "periodic_mailer") == []
        assert web.mails_to(fleet, recipient) == []
    wait_for_mail(fleet, recipient)


def test_licenses_are_answered_without_their_cache_and_web_does_not_notice(fleet):
    told = lambda server, names: web.missing(fleet, server, "license") == names  # noqa: E731
    with Stopped(fleet, "redis", "redis-server@cache"):
        for server in LICENSES:
            fleet.eventually(lambda server=server: told(server, ["redis"]), 20, why=f"{server} does not say so")
        assert [web.get(fleet, "/license/LAB-0001")[0] for _ in range(4)] == [200] * 4
        assert [web.missing(fleet, server) for server in BACKENDS] == [[], []]
    for server in LICENSES:
        fleet.eventually(lambda server=server: told(server, []), 30, why=f"{server} did not recover")


@contextlib.contextmanager
def cut(fleet, server, to):
    """In the block ``server`` gets no answer from ``to``, as if that had lost its power."""
    drop = f"ip daddr {INVENTORY['hosts'][to]['private']} drop"
    chain = f"chain out {{\ntype filter hook output priority 0;\n{drop}\n}}"
    fleet.ok(server, "nft", "-f", "-", stdin=f"table ip cut {{\n{chain}\n}}\n")
    try:
        yield
    finally:
        fleet.ok(server, "nft", "delete", "table", "ip", "cut")


def test_a_backend_that_is_not_ready_gets_no_request(fleet):
    """Its own way to redis is cut: the other backend serves alone, and nobody in the world notices."""
    with cut(fleet, "web02", "redis"):
        fleet.eventually(lambda: web.missing(fleet, "web02") == ["redis"], 30, why="web02 does not notice")
        fleet.eventually(lambda: hosts_that_answer(fleet) == {"web-lb02"}, 15, why="web02 is still asked")
    ready_again(fleet)


def test_licenses_are_answered_while_their_cache_is_silent(fleet):
    """Not refused, as by a server that is up: nobody may wait for it, nor HAProxy take the servers out."""
    with cut(fleet, LICENSES[0], "redis"), cut(fleet, LICENSES[1], "redis"):
        fleet.eventually(lambda: web.missing(fleet, LICENSES[0], "license") == ["redis"], 30)
        with load(fleet, "license", rate=100, keepalive=32) as running:
            time.sleep(12)
    report = running.report
    assert report.failed == [], report
    said = ["journalctl", "--output=cat", f"--since=@{report.began:.0f}", "--unit=license@*"]
    waited = sum(fleet.ok(server, *said).count('"no-cache"') for server in LICENSES)
    assert 0 < waited < report.answered / 10, "one in five seconds waits for it, and nobody else"
    fleet.eventually(lambda: web.missing(fleet, LICENSES[0], "license") == [], 30)


def test_a_backend_that_is_stopped_is_missed_by_nobody(fleet):
    with Stopped(fleet, "web02", web.active_unit(fleet, "web02")):
        assert hosts_that_answer(fleet, 12) == {"web-lb02"}
    ready_again(fleet)


def test_the_load_balancer_may_stop_and_start(fleet):
    with Stopped(fleet, "web-lb02", "haproxy"):
        assert web.get(fleet, "/version")[0] == 0
    ready_again(fleet)


def test_the_periodic_mailer_may_stop_and_start(fleet):
    with Stopped(fleet, "beanstalkd", "periodic_mailer"):
        assert web.missing(fleet, "beanstalkd", "periodic_mailer") == ["no answer"]
    well = lambda: web.missing(fleet, "beanstalkd", "periodic_mailer") == []  # noqa: E731
    fleet.eventually(well, 30, why="the periodic mailer did not recover")


@pytest.mark.alone
def test_web_starts_from_what_it_knew_while_the_conf_server_is_down_and_says_so(fleet):
    unit = web.active_unit(fleet, "web02")
    with Stopped(fleet, "ct1", "conf_server"):
        fleet.ok("web02", "systemctl", "restart", unit)
        ready = fleet.eventually(lambda: _ready_from_cache(fleet), 30, why="web02 does not start from its cache")
        assert re.match(r"cached revision \d+: ", ready["checks"]["conf"]["detail"])
        fleet.eventually(lambda: "web02" in hosts_that_answer(fleet), 20, why="ready, but not asked")
    known = lambda: re.fullmatch(r"revision \d+", web.readiness(fleet, "web02")["checks"]["conf"]["detail"])  # noqa: E731
    fleet.eventually(known, 30, why="web02 does not find the conf server again")
    ready_again(fleet)


def _ready_from_cache(fleet):
    said = web.readiness(fleet, "web02")
    return said if said.get("ok") and "cached" in said["checks"]["conf"]["detail"] else None


# Nothing that is queued is lost, nothing is sent twice.


def test_what_is_queued_survives_the_queue_and_waits_for_the_mailer(fleet):
    recipients = [web.address() for _ in range(3)]
    with Stopped(fleet, "beanstalkd", "mailer"):
        assert [web.sign_up(fleet, recipient)[0] for recipient in recipients] == [201] * 3
        fleet.ok("beanstalkd", "systemctl", "kill", "--signal=KILL", "beanstalkd")
        active = lambda: fleet.run("beanstalkd", "systemctl", "is-active", "beanstalkd").returncode == 0  # noqa: E731
        fleet.eventually(active, 60, why="beanstalkd does not come back")
        assert web.mails_to(fleet, recipients[0]) == []
    for recipient in recipients:
        wait_for_mail(fleet, recipient)


def test_a_mailer_that_is_killed_loses_nothing(fleet):
    recipients = [web.address() for _ in range(6)]
    for number, recipient in enumerate(recipients):
        assert web.sign_up(fleet, recipient)[0] == 201
        if number % 2:
            fleet.ok("beanstalkd", "systemctl", "kill", "--signal=KILL", "mailer")
    fleet.eventually(lambda: all(web.mails_to(fleet, recipient) for recipient in recipients), 200, why="mails are lost")
    # A kill between the relay's answer and the note of it is the one case in which a mail may come twice.
    assert sum(len(web.mails_to(fleet, recipient)) for recipient in recipients) <= len(recipients) + 3


@pytest.mark.alone
def test_a_relay_that_is_down_or_refuses_for_now_is_tried_again(fleet):
    kept, later = web.address(), web.address("tempfail")
    fleet.ok("cloud", "systemctl", "stop", "smtp-sink")
    try:
        assert web.sign_up(fleet, kept)[0] == 201
        time.sleep(5)
        status, said = web.loopback(fleet, "beanstalkd", 8121, "/readyz")
        assert (status, said["checks"]["smtp"]["ok"]) == (503, False)
    finally:
        fleet.ok("cloud", "systemctl", "start", "smtp-sink")
    before = web.stats(fleet)["retried"]
    assert web.sign_up(fleet, later)[0] == 201
    wait_for_mail(fleet, kept)
    wait_for_mail(fleet, later, 90)
    assert web.stats(fleet)["retried"] >= before + 2


def test_what_is_refused_for_good_is_buried_and_counted(fleet):
    before, jobs = web.stats(fleet)["buried"], web.buried(fleet)
    recipient = web.address("permfail")
    assert web.sign_up(fleet, recipient)[0] == 201
    fleet.eventually(lambda: web.stats(fleet)["buried"] == before + 1, 60, why="not counted as buried")
    assert web.buried(fleet) == jobs + 1
    assert web.mails_to(fleet, recipient) == []
