"""What the mailer does with a job, by what SMTP and MySQL say."""

import contextlib
import importlib
import json
import smtplib
import sys
import types

import pytest
from insync_core import mail
from insync_core.errors import Unavailable
from insync_mailer import smtp
from insync_mailer.ledger import Busy

CONF = {"beanstalkd": {}, "mysql": {}, "smtp": {}, "retry": {"attempts": 3, "delay_seconds": 60}}
MODULES = ("insync_core.queue", "insync_mailer.relay", "insync_mailer.mailer")
JOB = types.SimpleNamespace(id=7, body=mail.Mail("id-1", "x@customer.test", "S", "T").job())


class Queue:
    """A queue with ``job`` in it; remembers what was done with it."""

    def __init__(self, job=JOB, ttr=120):
        self.job, self.ttr, self.done = job, ttr, []

    def reserve(self, timeout):
        return self.job

    def stats_job(self, job):
        return {"ttr": self.ttr}

    def delete(self, job):
        self.done.append("delete")

    def bury(self, job):
        self.done.append("bury")

    def release(self, job, delay):
        self.done.append(f"release {delay}")

    def close(self):
        self.done.append("close")


class Ledger:
    """One mail's row."""

    def __init__(self, state="new", attempts=0, busy=False):
        self.conf = {}
        self.state, self.attempts, self.busy, self.down = state, attempts, busy, False
        self.confirmed = False

    @contextlib.contextmanager
    def entry(self, identity):
        if self.busy:
            raise Busy(identity)
        yield self

    def write(self, state, detail=""):
        if self.down:
            raise Unavailable("mysql", "gone")
        self.state, self.attempts = state, self.attempts + 1

    def confirm(self):
        self.confirmed = True


@pytest.fixture
def mailer(monkeypatch):
    """A function that makes a Mailer; greenstalk is not needed for its decisions."""
    error = type("Error", (Exception,), {})
    fake = types.SimpleNamespace(Error=error, TimedOutError=type("TimedOutError", (error,), {}))
    monkeypatch.setitem(sys.modules, "greenstalk", fake)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("insync_mailer.mailer")

    def make(queue, ledger, *outcomes):
        said, made = list(outcomes), module.Mailer(types.SimpleNamespace(values=lambda: CONF))
        made._queue, made._queue_of, made._ledger = queue, CONF["beanstalkd"], ledger

        def send(conf, mailing):
            outcome = said.pop(0)
            if outcome:
                raise outcome

        monkeypatch.setattr(smtp, "send", send)
        return made

    yield make
    for name in MODULES:
        sys.modules.pop(name, None)


def counted(made):
    """The counters that are not 0."""
    return {key: value for key, value in made.stats.items() if value}


def test_a_mail_is_sent_written_down_and_taken_off_the_queue(mailer):
    queue, ledger = Queue(), Ledger()
    made = mailer(queue, ledger, None)
    made.step()
    assert (ledger.state, ledger.attempts, queue.done, counted(made)) == ("sent", 1, ["delete"], {"sent": 1})


def test_what_was_sent_is_not_sent_again(mailer):
    queue, ledger = Queue(), Ledger("sent", 1)
    made = mailer(queue, ledger)
    made.step()
    assert (queue.done, counted(made)) == (["delete"], {"doubles": 1})
    assert ledger.confirmed, "the outbox would put it again for ever"


@pytest.mark.parametrize(
    "attempts, done, state", [(0, "release 60", "retry"), (1, "release 120", "retry"), (2, "bury", "buried")]
)
def test_a_refusal_for_now_is_tried_again_so_many_times(mailer, attempts, done, state):
    queue, ledger = Queue(), Ledger("retry", attempts)
    mailer(queue, ledger, smtp.Later("451 later")).step()
    assert (queue.done, ledger.state, ledger.attempts) == ([done], state, attempts + 1)


def test_what_is_tried_again_waits_longer_each_time_but_never_for_more_than_an_hour(mailer):
    mailer(Queue(), Ledger())
    delay = sys.modules["insync_mailer.mailer"].delay
    waits = [delay({"delay_seconds": 60}, number) for number in range(1, 9)]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert delay({"delay_seconds": 7200}, 3) == 7200, "unless that is declared"


def test_a_refusal_for_good_is_buried_at_once(mailer):
    queue, ledger = Queue(), Ledger()
    made = mailer(queue, ledger, smtp.Never("550 no"))
    made.step()
    assert (queue.done, ledger.state, counted(made)) == (["bury"], "buried", {"buried": 1})


def test_what_is_not_about_the_mail_counts_as_no_try(mailer):
    queue, ledger = Queue(), Ledger()
    made = mailer(queue, ledger, Unavailable("smtp", "535 wrong"))
    with pytest.raises(Unavailable):
        made.step()
    # The connection's end gives the job back.
    assert (queue.done, ledger.state, ledger.attempts, counted(made)) == (["close"], "new", 0, {})


def test_a_mail_at_which_the_relay_hangs_up_is_no_try_and_the_others_go_first(mailer):
    queue, ledger = Queue(), Ledger()
    made = mailer(queue, ledger, smtp.HungUp("gone"))
    made.step()
    assert (queue.done, ledger.state, ledger.attempts, counted(made)) == (["release 60"], "new", 0, {})


def test_mysql_gone_after_the_sending_does_not_send_it_twice(mailer):
    queue, ledger = Queue(), Ledger()
    made = mailer(queue, ledger, None)
    ledger.down = True
    with pytest.raises(Unavailable):
        made.step()
    ledger.down = False
    made._queue = Queue()
    made.step()
    assert (ledger.state, made._queue.done, counted(made)) == ("sent", ["delete"], {"sent": 1})


def test_another_mailers_mail_is_left_to_it(mailer):
    queue = Queue()
    mailer(queue, Ledger(busy=True)).step()
    assert queue.done == ["release 60"]


@pytest.mark.parametrize("queue", [Queue(types.SimpleNamespace(id=1, body=b"\xff")), Queue(ttr=1)])
def test_no_mail_is_buried(mailer, queue):
    made = mailer(queue, Ledger())
    made.step()
    assert (queue.done, counted(made)) == (["bury"], {"buried": 1})


class Server:
    """An SMTP server that says ``outcome`` at ``stage``."""

    stage, outcome, sent = None, None, []

    def __init__(self, host, port, timeout):
        self._at("connect")

    def _at(self, stage):
        if self.stage == stage and self.outcome:
            raise self.outcome

    def starttls(self, context):
        self._at("starttls")

    def login(self, user, password):
        self._at("login")

    def send_message(self, message, sender, recipients):
        self._at("send")
        self.sent.append((message, sender, recipients))

    def quit(self):
        self._at("quit")

    def close(self):
        pass


SMTP = {"host": "relay", "port": 587, "user": "insync", "password": "s3cret"}
MAILING = mail.Mail("id-1", "x@customer.test", "Sübject", "Zeile ü\n", "Insync <noreply@insynchq.com>")


@pytest.mark.parametrize(
    "stage, outcome, error",
    [
        ("connect", ConnectionRefusedError("Connection refused"), Unavailable),
        ("connect", smtplib.SMTPConnectError(554, b"no"), Unavailable),
        ("starttls", smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), Unavailable),
        ("login", smtplib.SMTPAuthenticationError(535, b"wrong"), Unavailable),
        ("send", smtplib.SMTPServerDisconnected("gone"), smtp.HungUp),
        ("send", TimeoutError("timed out"), smtp.HungUp),
        ("send", smtplib.SMTPSenderRefused(530, b"log in first", "x"), Unavailable),
        ("send", smtplib.SMTPDataError(421, b"closing"), Unavailable),
        ("send", smtplib.SMTPDataError(451, b"later"), smtp.Later),
        ("send", smtplib.SMTPRecipientsRefused({"x@customer.test": (450, b"greylisted")}), smtp.Later),
        ("send", smtplib.SMTPRecipientsRefused({"x@customer.test": (550, b"nobody")}), smtp.Never),
        ("send", smtplib.SMTPDataError(554, b"spam"), smtp.Never),
        ("quit", smtplib.SMTPServerDisconnected("gone"), None),
    ],
)
def test_what_a_refusal_means(monkeypatch, stage, outcome, error):
    monkeypatch.setattr(smtplib, "SMTP", Server)
    monkeypatch.setattr(Server, "stage", stage)
    monkeypatch.setattr(Server, "outcome", outcome)
    if error is None:
        smtp.send(SMTP, MAILING)
        return
    with pytest.raises(error) as caught:
        smtp.send(SMTP, MAILING)
    assert "s3cret" not in str(caught.value)


def test_a_message_is_plain_and_known_by_its_id(monkeypatch):
    monkeypatch.setattr(smtplib, "SMTP", Server)
    monkeypatch.setattr(Server, "sent", [])
    smtp.send(SMTP, MAILING)
    ((message, sender, recipients),) = Server.sent
    assert (sender, recipients) == ("noreply@insynchq.com", ["x@customer.test"])
    assert message["Message-ID"] == "<id-1@insynchq.com>"
    text = message.as_bytes()
    assert text.isascii() and b"Zeile =C3=BC" in text
    assert json.loads(MAILING.job())["id"] == "id-1"
