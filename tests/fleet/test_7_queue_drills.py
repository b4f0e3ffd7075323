"""Many mails through losses of the queue, of its disk, of the database and of the mailer."""

import itertools
import time

import pytest

from tests.fleet import web
from tests.fleet.mails import signing_up, wipe
from tests.fleet.test_7_queue import SERVER, status

UNITS = {"database": ("db", "mariadb"), "mailer": (SERVER, "mailer")}


def cut(fleet, what):
    """End ``what`` as a power cut does: at once, and in the queue's case with its disk."""
    if what == "queue":
        wipe(fleet)
        return
    server, unit = UNITS[what]
    fleet.ok(server, "systemctl", "kill", "--signal=KILL", unit)


def well(fleet):
    """Wait until the mailer has all that it needs, which it has only if all are back."""
    fleet.eventually(lambda: web.missing(fleet, SERVER, "mailer") == [], 90, why="the mailer is not ready again")


@pytest.mark.alone
# At full size the mailer alone needs most of this: it sends one after the other.
@pytest.mark.timeout(5400)
def test_every_mail_is_delivered_whatever_is_cut_meanwhile(fleet, drills):
    count, pause = drills.size(60, 10_000), drills.size(0, 20)
    least = drills.size(3, 30)
    well(fleet)
    before, cuts = web.stats(fleet), []
    began = time.monotonic()
    with signing_up(fleet, count, threads=drills.size(2, 6)) as ups:
        for what in itertools.cycle(["queue", "database", "mailer"]):
            if len(cuts) >= least and ups.over():
                break
            cut(fleet, what)
            cuts.append(what)
            well(fleet)
            time.sleep(pause)
        ups.wait(600)
        twice = ups.all_delivered(drills.size(120, 3000))
        seconds = time.monotonic() - began
        # Nothing comes later, from a job that was put again.
        idle = lambda: sum(status(fleet)["outbox"][key] for key in ("waiting", "unconfirmed")) == 0  # noqa: E731
        fleet.eventually(idle, 60, why="the outbox is not empty")
        assert {**twice, **ups.all_delivered(1)} == twice
    # One mailer has one mail in hand: where it, or the database that it writes to, was cut, that one may come twice.
    in_flight = sum(what != "queue" for what in cuts)
    assert sum(copies - 1 for copies in twice.values()) <= in_flight, (twice, cuts, before, web.stats(fleet))
    drills.note_queue("queue and its disk, database, mailer", count, len(cuts), 0, len(twice), seconds)
