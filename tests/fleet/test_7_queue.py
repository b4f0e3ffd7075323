"""The queue as its clients and operators see it: no mail is lost with it, and what is in it is told."""

import json
import re

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY
from tests.fleet.mails import signing_up, wipe
from tests.fleet.web import Stopped

SERVER = "beanstalkd"
ADDRESS = (INVENTORY["hosts"][SERVER]["private"], INVENTORY["services"]["beanstalkd"]["port"])
HISTORY = "/var/lib/insync/queue/history.jsonl"
# Says to beanstalkd what it is given, and prints all that it answers.
ASK = (
    "import socket, sys; s = socket.create_connection(%r, 5); s.sendall(sys.stdin.buffer.read() + b'quit\\r\\n'); "
    "print(b''.join(iter(lambda: s.recv(999), b'')).decode())"
)


def verb(fleet, name, *words):
    """Call a verb on the queue's server; return what it returns, a text if it failed."""
    return fleet.salt(SERVER, f"insync.{name}", *words)[SERVER]


def status(fleet):
    """What the queue is; it has to be known."""
    said = verb(fleet, "queue_status")
    assert isinstance(said, dict), said
    return said


def ask(fleet, text):
    """What beanstalkd answers to ``text``."""
    return fleet.ok(SERVER, "python3", "-c", ASK % (ADDRESS,), stdin=text)


@pytest.fixture(scope="module", autouse=True)
def ready(fleet):
    """The story begins where everything is there."""
    fleet.eventually(lambda: web.missing(fleet, SERVER, "mailer") == [], why="the mailer is not ready")


def test_what_is_well_is_told_as_well(fleet):
    taken = lambda said: said["tubes"].get("mail", {}).get("workers") == 1 and said  # noqa: E731
    said = fleet.eventually(lambda: taken(status(fleet)), 20, why="the mailer is not there")
    assert (said["written"], said["draining"], said["outbox"]["refused"]) == (True, False, 0)
    assert said["space"]["binlog"] > 0
    # What other tests have left buried is the only thing that may be wrong.
    assert [line for line in said["problems"] if "buried" not in line] == []


@pytest.mark.alone
def test_no_mail_is_lost_with_the_queue_and_its_disk(fleet):
    again = web.stats(fleet)["relayed_again"]
    # While the relay of the mails is away they wait in the queue.
    fleet.ok("cloud", "systemctl", "stop", "smtp-sink")
    try:
        with signing_up(fleet, 12) as ups:
            ups.wait(60)
            full = lambda: status(fleet)["outbox"]["waiting"] == 0  # noqa: E731
            fleet.eventually(full, 20, why="they are not put into the queue")
            wipe(fleet)
            told = status(fleet)
            assert (told["outbox"]["unconfirmed"] >= 12, told["uptime"] < 60) == (True, True), told
            fleet.ok("cloud", "systemctl", "start", "smtp-sink")
            assert ups.all_delivered(60) == {}, "each is delivered once"
    finally:
        fleet.ok("cloud", "systemctl", "start", "smtp-sink")
    assert web.stats(fleet)["relayed_again"] >= again + 12


def test_a_mailer_that_is_killed_while_it_sends_loses_none(fleet):
    with signing_up(fleet, 20) as ups:
        for _ in range(2):
            fleet.ok(SERVER, "systemctl", "kill", "--signal=KILL", "mailer")
            well = lambda: web.missing(fleet, SERVER, "mailer") == []  # noqa: E731
            fleet.eventually(well, 30, why="the mailer does not come back")
        ups.wait(60)
        # One that the relay took in the very moment of a kill may come twice.
        assert len(ups.all_delivered(60)) <= 2


def puts(body, ttr=120):
    """The command that puts ``body`` into the tube in use."""
    return f"put 0 0 {ttr} {len(body)}\r\n{body}\r\n"


def test_a_job_that_is_no_mail_is_buried_told_and_kicked(fleet):
    good = json.dumps({"id": "lab-short", "to": web.address(), "subject": "S", "text": "T"})
    # No JSON, no id, and one that two mailers would have at once. One that is too large does not get in.
    poison = [puts("poison"), puts(json.dumps({"to": web.address(), "subject": "S", "text": "T"})), puts(good, ttr=1)]
    before = status(fleet)["tubes"].get("mail", {"buried": 0})["buried"]
    said = ask(fleet, "use mail\r\n" + "".join(poison) + puts("x" * 65536))
    numbers, all_buried = re.findall(r"INSERTED (\d+)", said), before + len(poison)
    try:
        assert (len(numbers), "JOB_TOO_BIG" in said) == (len(poison), True), said
        count = lambda: status(fleet)["tubes"]["mail"]["buried"]  # noqa: E731
        fleet.eventually(lambda: count() == all_buried, 30, why="they are not buried")
        assert any(f"mail: {all_buried} jobs are buried" in line for line in status(fleet)["problems"])
        counted = web.stats(fleet)["buried"]
        foretold = verb(fleet, "queue_kick", "mail", "100", "test=True")
        assert (foretold["kicked"], foretold["buried"], count()) == (all_buried, 0, all_buried)
        done = verb(fleet, "queue_kick", "mail", "100")
        assert done["kicked"] == all_buried
        # They still are none, so they are buried again: the mailer has looked at them.
        again = lambda: web.stats(fleet)["buried"] >= counted + len(poison)  # noqa: E731
        fleet.eventually(again, 30, why="nobody has taken them")
        kept = json.loads(fleet.ok(SERVER, "tail", "-n", "1", HISTORY))
        assert (kept["verb"], kept["kicked"], kept["end"]) == ("insync.queue_kick mail 100", all_buried, "ok")
        assert kept["by"] and kept["since"]
    finally:
        ask(fleet, "".join(f"delete {number}\r\n" for number in numbers))


@pytest.mark.parametrize(
    "words, said",
    [
        (["nope"], "tube=nope: there is none; there is "),
        (["mail", "0"], "limit=0: is not a number from 1 to 10000"),
        (["mail", "many"], "limit=many: is not a number from 1 to 10000"),
        (["mail", "1", "more"], "more: one word too many"),
    ],
)
def test_a_bad_call_is_refused_in_one_line(fleet, words, said):
    done = fleet.run("ct1", "salt", "--log-level=critical", SERVER, "insync.queue_kick", *words)
    assert (done.returncode != 0, said in done.stdout, "Traceback" in done.stdout) == (True, True, False), done.stdout


def test_what_cannot_be_known_is_an_error(fleet):
    with Stopped(fleet, SERVER, "mailer"):
        assert "the mailer does not say what is in the outbox" in str(verb(fleet, "queue_status"))
    with Stopped(fleet, SERVER, "beanstalkd"):
        assert f"beanstalkd at {ADDRESS[0]}:{ADDRESS[1]} does not answer" in str(verb(fleet, "queue_status"))
    fleet.eventually(lambda: web.missing(fleet, SERVER, "mailer") == [], 30, why="the mailer is not ready again")


def test_little_room_is_red(fleet):
    words = ["insync_queue.roomy", "name=/var/lib/beanstalkd", "binlog_max=1G"]
    (little,) = fleet.salt(SERVER, "state.single", *words, "free_min=900T")[SERVER].values()
    (enough,) = fleet.salt(SERVER, "state.single", *words, "free_min=1M")[SERVER].values()
    assert (little["result"], enough["result"]) == (False, True)
    assert "on a full disk no job is taken" in little["comment"]
