"""The outbox in a real MariaDB, with the accounts as they are declared: what is committed is sent, and once."""

import importlib
import sys
import threading
import types

import pymysql
import pytest
import yaml
from insync_core import mail, mysql, outbox
from insync_core.errors import Unavailable, needed
from insync_mailer.ledger import Ledger

from tests.functional.conftest import ROOT
from tests.functional.test_insync_mysql import connect, socket  # noqa: F401 - a fixture

SCHEMA = (ROOT / "lab" / "apps" / "schema.sql").read_text(encoding="utf-8")
ACCOUNTS = yaml.safe_load((ROOT / "pillar" / "role" / "mysql_primary.sls").read_text(encoding="utf-8"))["mariadb"]
DENIED = (1044, 1142, 1143)
CONF = {
    "beanstalkd": {"host": "x", "port": 1, "tube": "mail"},
    "mysql": {"host": "x", "user": "mailer", "database": "insync_mail"},
    "outbox": {"again_seconds": 60, "kept_seconds": 60},
}


class QueueError(Exception):
    """As greenstalk.Error."""


class NotFoundError(QueueError):
    """There is no such job."""


class JobTooBigError(QueueError):
    """The queue does not take it."""


class Queue:
    """beanstalkd, as far as the relay needs it; one that has lost its disk counts from 1 again."""

    def __init__(self):
        self.jobs, self.down, self.broken_after = {}, False, None

    def connect(self, conf, wait=0):
        if self.down:
            raise Unavailable("beanstalkd", "Connection refused")
        return self

    def put(self, body, ttr):
        if self.broken_after == len(self.jobs):
            raise QueueError("Unexpected EOF")
        if len(body) > 65535:
            raise JobTooBigError()
        number = max(self.jobs, default=0) + 1
        self.jobs[number] = body
        return number

    def peek(self, number):
        if number not in self.jobs:
            raise NotFoundError()
        return types.SimpleNamespace(id=number, body=self.jobs[number])

    def close(self):
        pass


@pytest.fixture(scope="module")
def server(socket):  # noqa: F811
    """A MariaDB with the tables, and the accounts with exactly what they are granted."""
    with connect(socket) as connection, connection.cursor() as cursor:
        lines = [line for line in SCHEMA.splitlines() if not line.startswith("--")]
        for statement in filter(str.strip, "\n".join(lines).split(";")):
            cursor.execute(statement)
        for name, account in ACCOUNTS["accounts"].items():
            cursor.execute(f"CREATE USER {name}@localhost")
            for database, grants in account["grants"].items():
                where = "*" if database == "*" else f"`{database}`"
                cursor.execute(f"GRANT {', '.join(grants)} ON {where}.* TO {name}@localhost")
    return socket


@pytest.fixture
def sql(server):
    """``sql(statement, *words)`` as root."""
    with connect(server) as connection, connection.cursor() as cursor:

        def _sql(statement, *words):
            cursor.execute(statement, words)
            return list(cursor.fetchall())

        yield _sql
        _sql("DELETE FROM insync_outbox.mails")
        _sql("DELETE FROM insync_mail.sent_mail")


@pytest.fixture(autouse=True)
def by_socket(monkeypatch, server):
    """The applications' connections lead to that server."""

    def _connect(conf, ca_file, **options):
        with needed("mysql", pymysql.MySQLError):
            where = {"user": conf["user"], "database": conf["database"], "charset": "utf8mb4"}
            return pymysql.connect(unix_socket=server, ssl_disabled=True, **where, **options)

    monkeypatch.setattr(mysql, "connect", _connect)


@pytest.fixture
def queue(monkeypatch):
    """The queue, and greenstalk without greenstalk."""
    errors = {"Error": QueueError, "NotFoundError": NotFoundError, "JobTooBigError": JobTooBigError}
    monkeypatch.setitem(sys.modules, "greenstalk", types.SimpleNamespace(**errors))
    names = ("insync_core.queue", "insync_mailer.relay")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    made = Queue()
    monkeypatch.setattr(importlib.import_module("insync_core.queue"), "connect", made.connect)
    yield made
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def relay(queue):
    """A function that makes a Relay."""
    module, made = importlib.import_module("insync_mailer.relay"), []
    stop = threading.Event()
    # It waits for nobody.
    stop.wait = lambda seconds: None

    def _relay():
        conf = types.SimpleNamespace(values=lambda: CONF, settings=types.SimpleNamespace(ca_file=None))
        made.append(module.Relay(conf, {"relayed": 0, "relayed_again": 0}))
        return types.SimpleNamespace(step=lambda: made[-1].step(stop), it=made[-1], stats=made[-1].stats)

    yield _relay
    for one in made:
        one.close()


def as_user(user, statement, *words):
    """What ``user`` is answered, or the error's number."""
    try:
        with mysql.transaction({"user": user, "database": None}, None) as cursor:
            cursor.execute(statement, words)
            return list(cursor.fetchall())
    except Unavailable as exc:
        return exc.__cause__.args[0]


def intend(identity, user="web"):
    with mysql.transaction({"user": user, "database": "insync"}, None) as cursor:
        outbox.add(cursor, mail.Mail(identity, "x@customer.test", "S", "T"))


def confirm(identity, state="sent"):
    ledger = Ledger(CONF["mysql"], None)
    with ledger.entry(identity) as entry:
        entry.write(state, "why")


def due(sql):
    """Let the time of all come."""
    sql("UPDATE insync_outbox.mails SET again_at = CURRENT_TIMESTAMP - INTERVAL 1 SECOND")


def ids(queue):
    return sorted(mail.parse(body).id for body in queue.jobs.values())


@pytest.mark.parametrize(
    "user, statement, may",
    [
        ("web", "SELECT COUNT(*) FROM insync_outbox.mails", False),
        ("web", "UPDATE insync_outbox.mails SET delivered_at = NULL", False),
        ("web", "DELETE FROM insync_outbox.mails", False),
        ("periodic_mailer", "SELECT body FROM insync_outbox.mails", False),
        ("license", "INSERT INTO insync_outbox.mails (id, body) VALUES ('x', 'y')", False),
        ("mailer", "INSERT INTO insync_outbox.mails (id, body) VALUES ('x', 'y')", False),
        ("mailer", "SELECT * FROM insync.users", False),
        ("mailer", "SELECT COUNT(*) FROM insync_outbox.mails", True),
    ],
)
def test_who_may_do_what(server, user, statement, may):
    said = as_user(user, statement)
    assert said == [(0,)] if may else said in DENIED


def test_who_may_add_mails_sees_in_its_readiness_that_the_outbox_is_there(server, sql):
    check = lambda: outbox.check({"host": "db", "user": "web", "database": "insync"}, None, "users")  # noqa: E731
    assert check() == "db as web"
    sql("RENAME TABLE insync_outbox.mails TO insync_outbox.other")
    try:
        with pytest.raises(Unavailable, match=r"^mysql: there is no insync_outbox.mails"):
            check()
    finally:
        sql("RENAME TABLE insync_outbox.other TO insync_outbox.mails")


def test_what_is_committed_is_put_and_what_is_rolled_back_is_not(sql, queue, relay):
    intend("kept")
    with pytest.raises(KeyError), mysql.transaction({"user": "web", "database": "insync"}, None) as cursor:
        outbox.add(cursor, mail.Mail("gone", "x@customer.test", "S", "T"))
        raise KeyError
    one = relay()
    assert one.it.outbox() == dict(waiting=1, unconfirmed=0, buried=0, refused=0, oldest_seconds=0)
    one.step()
    assert (ids(queue), one.stats["relayed"]) == (["kept"], 1)
    assert one.it.outbox() == dict(waiting=0, unconfirmed=1, buried=0, refused=0, oldest_seconds=0)
    confirm("kept")
    assert set(one.it.outbox().values()) == {0}
    due(sql)
    one.step()
    assert ids(queue) == ["kept"]


def test_a_producer_that_says_the_same_twice_is_heard_once(sql, queue, relay):
    intend("same", "periodic_mailer")
    intend("same", "periodic_mailer")
    relay().step()
    assert ids(queue) == ["same"]


def test_what_the_queue_has_lost_is_put_again_and_what_waits_there_is_not(sql, queue, relay):
    one = relay()
    for name in ("a", "b", "c", "d"):
        intend(name)
    one.step()
    confirm("a")
    confirm("d", "buried")
    due(sql)
    one.step()
    assert (ids(queue), one.stats["relayed_again"]) == (["a", "b", "c", "d"], 0), "all are still there"
    queue.jobs = {1: mail.Mail("another", "x@customer.test", "S", "T").job()}
    one.step()
    assert ids(queue) == ["another"], "not before their time"
    due(sql)
    one.step()
    # The number of a job is another's now; and what was buried is buried again, and not forgotten.
    assert (ids(queue), one.stats["relayed_again"]) == (["another", "b", "c", "d"], 3)
    assert one.it.outbox()["buried"] == 1


def test_what_could_not_be_put_is_put_when_the_queue_is_back(sql, queue, relay):
    one = relay()
    for name in ("a", "b", "c"):
        intend(name)
    queue.down = True
    with pytest.raises(Unavailable, match="beanstalkd: Connection refused"):
        one.step()
    queue.down, queue.broken_after = False, 1
    with pytest.raises(Unavailable, match="beanstalkd: Unexpected EOF"):
        one.step()
    queue.broken_after = None
    one.step()
    assert ids(queue) == ["a", "b", "c"], "at once, and not after again_seconds"


def test_two_relays_share_the_work(sql, queue, relay):
    one, other = relay(), relay()
    intend("a")
    with mysql.connect(CONF["mysql"], None) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT id FROM insync_outbox.mails WHERE id = 'a' FOR UPDATE")
        other.step()
        assert ids(queue) == [], "one that another has in hand is left to it, without a wait"
    one.step()
    other.step()
    assert ids(queue) == ["a"]


def test_what_the_queue_never_takes_keeps_nobody_else_waiting(sql, queue, relay):
    with mysql.transaction({"user": "web", "database": "insync"}, None) as cursor:
        outbox.add(cursor, mail.Mail("huge", "x@customer.test", "S", "T" * 70000))
    intend("small")
    one = relay()
    one.step()
    assert (ids(queue), one.it.outbox()["refused"]) == (["small"], 1)
    assert sql("SELECT detail FROM insync_outbox.mails WHERE id = 'huge'") == [("too large for the queue",)]


def test_what_was_sent_is_forgotten_after_a_while_and_nothing_else(sql, queue, relay):
    one = relay()
    for name in ("old", "new", "waits"):
        intend(name)
    one.step()
    confirm("old")
    confirm("new")
    sql("UPDATE insync_outbox.mails SET created_at = created_at - INTERVAL 1 DAY")
    sql("UPDATE insync_outbox.mails SET delivered_at = delivered_at - INTERVAL 61 SECOND WHERE id = 'old'")
    one.step()
    assert sorted(sql("SELECT id FROM insync_outbox.mails")) == [("new",), ("waits",)]


def test_a_mail_and_its_confirmation_are_written_together(sql, queue, relay):
    """Where one of the two cannot be, neither is there."""
    intend("half")
    sql("RENAME TABLE insync_outbox.mails TO insync_outbox.other")
    try:
        with pytest.raises(Unavailable):
            confirm("half")
    finally:
        sql("RENAME TABLE insync_outbox.other TO insync_outbox.mails")
    assert sql("SELECT state FROM insync_mail.sent_mail WHERE id = 'half'") == [("new",)]
