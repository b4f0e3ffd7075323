"""The load generator against servers that misbehave on purpose: whatever they do wrong is told, and nothing else."""

import contextlib
import datetime
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import types

import insync_certificate
import pytest

from tests.fleet import load as fleet_load
from tests.load import generator
from tests.load.generator import Answered

STAMP = "old/blue/web02"
NOBODY = {"keepalive": 0, "oneshot": 0, "slow": 0, "idle": 0}
ONE = {**NOBODY, "keepalive": 1}


class Site:
    """
    A site on loopback; counts what it is asked.

    answer (callable): gets the number of a request, its first line and its body; returns what is sent, after which
    the connection ends if that begins with END.
    """

    END = b"!"

    def __init__(self, answer=None, context=None):
        self.answer = answer or (lambda number, line, body: good(line, body))
        self.context, self.asked, self.connections = context, [], 0
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        # Closed alone, it would still be accepted from.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection.makefile("rb") as file:
                while self._reply(connection, file):
                    pass
            connection.close()

    def _reply(self, connection, file):
        line = file.readline().decode().strip()
        if not line:
            return False
        fields = dict(re.findall(rb"([\w-]+): (.*)\r\n", b"".join(iter(file.readline, b"\r\n"))))
        body = file.read(int(fields.get(b"Content-Length", 0)))
        with self._lock:
            number = len(self.asked)
            self.asked.append((line, body))
        said = self.answer(number, line, body)
        connection.sendall(said.removeprefix(self.END))
        return not said.startswith(self.END) and fields.get(b"Connection") != b"close"


def http(body=b"{}", status="200 OK", stamp=STAMP, **fields):
    """An answer's bytes; ``stamp`` None: without one."""
    told = {"Content_Length": len(body), "X_Insync_Release": stamp, **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def good(line, body, stamp=STAMP):
    return http(body, "201 Created", stamp) if line.startswith("POST") else http(stamp=stamp)


@pytest.fixture
def site():
    """Make sites: site(answer)."""
    made = []

    def make(*arguments):
        made.append(Site(*arguments))
        return made[-1]

    yield make
    for one in made:
        with contextlib.suppress(OSError):
            one.close()


def drive(site, lines=(), **given):
    """Let the generator ask ``site``; return its report."""
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    report = generator.drive(generator.options([f"http://127.0.0.1:{site.port}", *words]), lines)
    assert report["sent"] == report["answered"] + report["failed_count"]
    return report


def only(site, wrong, requests=6, **given):
    """Drive one client; request number 2 is answered by ``wrong``. Return (what failed, the report)."""
    there = site(lambda number, line, body: wrong if number == 2 else good(line, body))
    report = drive(there, requests=requests, posts=0, **{**ONE, **given})
    assert len(there.asked) == requests, "nothing is sent twice"
    assert report["answered"] == requests - 1
    (failure,) = report["failed"]
    assert abs(failure["at"] - time.time()) < 60
    return failure, report


# What is well.


def test_a_clean_run_reports_nothing(site, tmp_path):
    there, ids = site(), tmp_path / "ids.json"
    report = drive(there, requests=400, ids=ids, pause=0.05, slow=2, rate=2000)
    assert (report["sent"], report["failed"], report["stale"], report["switches"]) == (400, [], 0, [])
    assert len(there.asked) == 400
    assert all(kind["sent"] for kind in report["kinds"].values())
    assert list(report["releases"]) == [STAMP]
    assert report["releases"][STAMP]["replies"] == 400
    kept = json.loads(ids.read_text())
    sent = [json.loads(body)["id"] for line, body in there.asked if line.startswith("POST /receipt ")]
    assert sorted(kept["acknowledged"]) == sorted(sent) and kept["failed"] == []
    assert len(set(sent)) == len(sent) == report["posts"]["acknowledged"]


def test_a_share_of_the_tight_loop_are_posts(site):
    there = site()
    drive(there, requests=100, **ONE)
    assert sum(line.startswith("POST") for line, _ in there.asked) == 20


def test_connections_are_kept_but_for_the_one_shot_clients(site):
    all_there = threading.Barrier(3)

    def answer(number, line, body):
        # One alone could be through with all of it before the next has begun.
        if number < 3:
            all_there.wait(10)
        return good(line, body)

    there = site(answer)
    drive(there, requests=30, **{**NOBODY, "keepalive": 3})
    assert there.connections == 3
    drive(there, requests=30, **{**NOBODY, "oneshot": 3})
    assert there.connections == 33


@pytest.mark.parametrize(
    "answer",
    [
        http(Connection="close"),
        b"!" + http(Connection="close"),
        http(b"5;x=y\r\nabcde\r\n0\r\nTrailer: 1\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked"),
    ],
)
def test_what_http_allows_is_no_failure(site, answer):
    there = site(lambda number, line, body: answer)
    assert drive(there, requests=6, posts=0, **ONE)["failed"] == []


def test_the_rate_is_for_all_clients_together(site):
    report = drive(site(), rate=40, seconds=1.5, slow=0, idle=2, pause=0.2)
    assert 30 < report["rate"] < 46


# What is wrong.

FAULTS = [
    (http(status="500 Oops", X_Request_Id="r-1"), r"500: \{\} \(X-Request-Id r-1\)"),
    (http(status="204 No Content"), "204: "),
    (b"!", "closed without an answer|ConnectionResetError"),
    (b"!HTTP/1.1 200 OK\r\nContent-Le", "cut within the head"),
    (b"!" + http(b"x" * 10)[:-3], "cut within the body, 7 of 10 bytes"),
    (
        b"!" + http(b"5\r\nabc", Content_Length=None, Transfer_Encoding="chunked"),
        "cut within a chunk, 3 of 7 bytes",
    ),
    (http(b"no\r\n", Content_Length=None, Transfer_Encoding="chunked"), "ValueError: invalid literal"),
    (http() + b"more", "200, and 4 bytes more than it says: b'more'"),
    (b"!" + http(Content_Length=None), "200, with neither a length nor chunks"),
    (b"nonsense\r\n\r\n", "no HTTP: b'nonsense'"),
    (http(stamp=None), "200, without release, slot and host in x-insync-release"),
    (http(stamp="1.0.0/0d2c"), "200, without release, slot and host"),
]


@pytest.mark.parametrize("wrong, why", FAULTS, ids=[why for _, why in FAULTS])
def test_every_fault_is_told_once(site, wrong, why):
    failure, report = only(site, wrong)
    assert re.match(why, failure["what"]), failure
    assert failure["kind"] == "keepalive"
    assert failure["sent"] == "GET /version, request 3 of its connection"
    assert (report["failed_count"], report["kinds"]["keepalive"]["failed"]) == (1, 1)


def test_a_connection_that_ends_without_notice_is_a_failure_of_who_sends_blindly(site):
    """The client has plenty of time to see the end, and must not look."""
    there = site(lambda number, line, body: (b"!" if number == 2 else b"") + good(line, body))
    report = drive(there, requests=6, pause=0.1, **{**NOBODY, "idle": 1})
    (failure,) = report["failed"]
    assert re.match("closed without an answer|ConnectionResetError|BrokenPipeError", failure["what"])
    assert (failure["kind"], failure["sent"]) == ("idle", "GET /version, request 4 of its connection")
    assert (report["sent"], len(there.asked), there.connections) == (6, 5, 2)


def test_who_does_not_answer_is_not_waited_for_for_ever(site):
    there = site(lambda number, line, body: time.sleep(0.6) or good(line, body))
    report = drive(there, requests=1, timeout=0.2, **ONE)
    assert [failure["what"] for failure in report["failed"]] == ["TimeoutError: timed out"]


def test_where_nobody_listens_every_request_fails(site):
    there = site()
    there.close()
    report = drive(there, requests=4, **ONE)
    assert report["failed_count"] == 4 and "ConnectionRefusedError" in report["failed"][0]["what"]
    assert report["ms"] == {"count": 0, "p50": None, "p99": None, "p99.9": None, "max": None}


def test_the_answer_to_another_post_is_a_failure_and_its_id_is_kept_apart(site, tmp_path):
    there = site(lambda number, line, body: good(line, b'{"id": "other"}' if number == 2 else body))
    report = drive(there, requests=6, posts=1, ids=tmp_path / "ids", **ONE)
    (failure,) = report["failed"]
    assert failure["what"] == '201, of another request: {"id": "other"}'
    kept = json.loads((tmp_path / "ids").read_text())
    assert kept["failed"] == [json.loads(there.asked[2][1])["id"]] and kept["failed"][0] in failure["sent"]
    assert len(kept["acknowledged"]) == 5


def test_only_the_first_failures_are_told_in_full(site):
    report = drive(site(lambda *_: http(status="503 Not Now")), requests=80, **ONE)
    assert (report["failed_count"], len(report["failed"]), report["answered"]) == (80, 50, 0)


def test_an_error_of_the_generator_is_a_failure(site, monkeypatch):
    monkeypatch.setattr(generator, "wrong", lambda request, reply: 1 / 0)
    report = drive(site(), requests=1, **ONE)
    assert "ZeroDivisionError" in report["failed"][0]["what"]


# Releases.


def test_replies_of_an_old_release_are_stale(site):
    def answer(number, line, body):
        return good(line, body, STAMP if number < 10 or number in (11, 12) else "new/green/web02")

    report = drive(site(answer), requests=60, posts=0, **ONE)
    assert report["stale"] == 2
    assert [(one["release"], one["slot"]) for one in report["stale_replies"]] == [("old", "blue")] * 2
    assert [(one["release"], one["slot"]) for one in report["switches"]] == [("new", "green")]
    assert report["releases"]["new/green/web02"]["replies"] == 48


def replies(*runs, every=0.01, host="web02"):
    """Replies, one after the other: each run is (from, until, release/slot)."""
    found = []
    for begin, end, who in runs:
        for number in range(round((end - begin) / every)):
            sent = begin + number * every
            found.append(Answered("keepalive", sent, sent, sent + every / 2, *who.split("/"), host))
    return found


def slow(sent, who):
    return Answered("slow", sent, sent, sent + 2, *who.split("/"), "web02")


FOUR = [(0, 5, "a/blue"), (5, 10, "b/green"), (10, 15, "a/blue"), (15, 20, "b/green"), (20, 25, "a/blue")]


def test_four_flips_are_four_switches_and_nothing_is_stale():
    switches, stale = generator.releases(replies(*FOUR))
    assert [(round(at), *who) for at, who in switches] == [
        (0, "a", "blue"),
        (5, "b", "green"),
        (10, "a", "blue"),
        (15, "b", "green"),
        (20, "a", "blue"),
    ]
    assert stale == []


def test_the_same_release_in_the_other_slot_is_a_switch():
    switches, stale = generator.releases(replies((0, 2, "a/blue"), (2, 4, "a/green")))
    assert (len(switches), stale) == (2, [])


def test_a_slow_reply_may_be_of_whatever_served_while_it_was_on_its_way():
    before = [slow(at + 4.99, who) for at, _, who in FOUR[:4]]
    assert generator.releases([*replies(*FOUR), *before])[1] == []
    # Over two flips.
    quick = replies((0, 5, "a/blue"), (5, 6, "b/green"), (6, 9, "c/blue"))
    assert generator.releases([*quick, slow(4.5, "a/blue"), slow(4.6, "b/green"), slow(4.7, "c/blue")])[1] == []


@pytest.mark.parametrize("begin, _, serves", FOUR[1:])
def test_one_reply_of_the_other_slot_after_any_flip_is_stale(begin, _, serves):
    other = "a/blue" if serves == "b/green" else "b/green"
    for late in (slow(begin + 0.5, other), *replies((begin + 2, begin + 2.01, other))):
        switches, stale = generator.releases([*replies(*FOUR), late])
        assert stale == [late]
        assert len(switches) == 5


@pytest.mark.parametrize("first, second", [("a/blue", "b/green"), ("b/green", "a/blue")])
def test_a_flip_of_one_server_after_the_other_is_not_atomic_there_and_back(first, second):
    """Both servers answer in turn; the second is switched 0.4 s after the first."""
    begin = replies((0, 2, "a/blue"), (2, 4, first))
    one = replies((4, 8, second), every=0.02)
    other = replies((4.01, 4.4, first), (4.4, 8, second), every=0.02)
    _, stale = generator.releases([*begin, *one, *other])
    assert 15 <= len(stale) <= 25
    assert all(reply.arrived < 4.5 for reply in stale)


def test_two_releases_for_a_long_time_are_seen():
    mixed = [*replies((0, 20, "a/blue"), every=0.02), *replies((5.01, 20, "b/green"), every=0.02)]
    assert len(generator.releases(mixed)[1]) > 300


def test_a_stray_reply_of_a_new_release_is_two_switches():
    switches, stale = generator.releases([*replies((0, 5, "a/blue")), *replies((2.001, 2.011, "b/green"))])
    assert ([who for _, who in switches[1:]], stale) == ([("b", "green"), ("a", "blue")], [])


# Windows and percentiles.


def test_percentiles_are_of_values_that_were_measured():
    found = generator.percentiles(number / 1000 for number in range(1000, 0, -1))
    assert found == {"count": 1000, "p50": 500, "p99": 990, "p99.9": 999, "max": 1000}
    assert generator.percentiles([0.002])["p99.9"] == 2


def test_windows_take_requests_by_when_they_were_begun():
    marks = [(0, "start"), (5, "restart"), (2, "calm")]
    answered = [Answered("idle", begun, begun, begun + took, *"rsh") for begun, took in ((1, 9), (2, 0.1), (5.5, 0.2))]
    answered.append(Answered("slow", 4, 4, 6, *"rsh"))
    told = generator.windows(marks, 10, answered, [{"at": 5.1}, {"at": 0.5}, {"at": -0.1}])
    assert [(one["name"], one["ms"]["max"], one["slow_ms"]["max"], one["failed"]) for one in told] == [
        ("start", 9000, None, 2),
        ("calm", 100, 2000, 0),
        ("restart", 200, None, 1),
    ]
    assert [round(one["until"] - one["from"], 3) for one in told] == [2, 3, 5]
    assert [one["slowest_ms"] for one in told] == [[9000], [100], [200]]


def orders(*steps):
    """Lines that come one after the other; a number is a pause."""
    for step in steps:
        if isinstance(step, str):
            yield f"{step}\n".encode()
        else:
            time.sleep(step)


def test_marks_and_the_end_come_by_the_input(site, capsys):
    there = site(lambda number, line, body: time.sleep(0.005) or good(line, body))
    at = time.time() + 0.1
    lines = orders("", "mark", "mark x y", f"mark early @{at}", 0.3, "mark late", 0.3, "stop", 5)
    report = drive(there, lines, **ONE)
    assert [window["name"] for window in report["windows"]] == ["start", "early", "late"]
    assert abs(report["windows"][1]["from"] - at) < 0.001
    assert all(window["ms"]["count"] for window in report["windows"])
    assert 0.5 < report["seconds"] < 5, "it ends when told, not with its input"
    assert capsys.readouterr().err.count("not understood") == 3


def test_a_stop_waits_for_the_least_and_an_end_does_not(site):
    there = site(lambda number, line, body: time.sleep(0.001) or good(line, body))
    assert drive(there, orders("stop"), least=100, **ONE)["sent"] >= 100
    assert drive(there, orders("end"), least=100000, seconds=60, **ONE)["seconds"] < 10


# As the fleet's tests use it.


class World:
    """What the generator's container is to the fleet's tests, on this machine."""

    def __init__(self, logs=None):
        self.logs = logs or {}

    def ok(self, server, *command):
        if command[0] == "journalctl":
            return self.logs.get((server, command[-1]), "")
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(fleet_load, "PYTHON", [sys.executable])
    return World()


@pytest.fixture
def secure(tmp_path):
    """A server's TLS, and the store (pathlib.Path) that trusts its certificate."""
    name, store = "www.insynchq.com", tmp_path / "store.pem"
    store.write_bytes(insync_certificate.self_signed([name], datetime.datetime.now(datetime.UTC)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(store)
    return context, store


FEW = {"keepalive": 2, "oneshot": 1, "slow": 0, "idle": 2, "pause": 0.1}


def test_load_is_there_while_the_block_runs_and_reports_afterwards(world, site, secure, monkeypatch):
    context, store = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    there = site(lambda number, line, body: time.sleep(0.002) or good(line, body), context)
    url = f"https://www.insynchq.com:{there.port}"
    with fleet_load.load(world, rate=100, least=150, url=url, connect="127.0.0.1", **FEW) as running:
        assert there.asked and running.report is None
        running.mark("restart begins")
    report = running.report
    assert report.failed == [] and report.sent >= 150
    assert report.window("restart-begins")["ms"]["count"]
    sent = sorted(json.loads(body)["id"] for line, body in there.asked if line.startswith("POST"))
    assert sorted(report.acknowledged) == sent and report.unacknowledged == []
    assert re.match(r"<load of web: \d+ sent, 0 failed, 0 stale, 0 switches, p99 [\d.]+ ms, ", repr(report))


def test_a_certificate_that_the_system_does_not_know_is_a_failure(world, site, secure):
    there = site(None, secure[0])
    url = f"https://www.insynchq.com:{there.port}"
    with fleet_load.load(world, rate=20, url=url, connect="127.0.0.1", **FEW) as running:
        pass
    assert (running.report.answered, there.asked) == (0, [])
    assert "CERTIFICATE_VERIFY_FAILED" in running.report.failed[0]["what"]


def test_what_goes_wrong_in_the_block_is_not_hidden_and_ends_the_load(world, site):
    there = site()
    with pytest.raises(KeyError, match="mine"):
        with fleet_load.load(world, least=10**6, rate=50, url=f"http://127.0.0.1:{there.port}", **FEW) as running:
            raise KeyError("mine")
    assert running._process.poll() is not None


def test_a_load_that_does_not_begin_says_why(world):
    with pytest.raises(AssertionError, match="no load: (.|\n)*unrecognized arguments: --wrong"):
        with fleet_load.load(world, wrong=1):
            pass


def receipts(*numbers, first=0):
    """Entries of a journal, as journalctl shows them with their times; first (int): when the first one was made."""
    entry = '{}.5 web02 env[7]: {{"event": "receipt", "id": "{}"}}\n'
    return "".join(entry.format(time, number) for time, number in enumerate(numbers, start=first))


def test_posts_are_compared_with_what_the_servers_executed(monkeypatch):
    monkeypatch.setattr(fleet_load, "_backends", lambda app: {"web02": ["blue", "green"], "web-lb02": ["blue"]})
    report = types.SimpleNamespace(app="web", began=1.5, acknowledged=["a", "b", "c"], unacknowledged=["x", "y"])
    fine = {
        ("web02", "web@blue"): "0.1 web02 systemd[1]: Started.\n" + receipts("a", "z"),
        ("web02", "web@green"): receipts("b", "z"),
    }
    fine["web-lb02", "web@blue"] = receipts("c")
    assert fleet_load.reconciled(World(fine), report) == fleet_load.NOTHING_AMISS
    suppressed = "Suppressed 7 messages from web@blue.service\nSuppressed 1 messages from ssh.service\n"
    logs = {("web02", "web@blue"): receipts("a", "b", "x"), ("web-lb02", "web@blue"): receipts("b")}
    logs["web-lb02", fleet_load.LEFT_OUT] = suppressed
    assert fleet_load.reconciled(World(logs), report) == {
        "lost": ["c"],
        "doubled": ["b: web02/blue, web-lb02/blue"],
        "failed_but_executed": ["x: web02/blue"],
        "left_out": ["web-lb02: Suppressed 7 messages from web@blue.service"],
    }


def test_an_entry_that_stands_in_two_files_of_a_journal_is_one():
    assert fleet_load.receipts(receipts("a", "b") + receipts("b", first=1)) == ["a", "b"]
    assert fleet_load.receipts(receipts("a", "b", "b")) == ["a", "b", "b"]


def test_the_backends_are_those_of_the_inventory():
    assert all(len(slots) == 2 for app in fleet_load.PATHS for slots in fleet_load._backends(app).values())
    assert fleet_load._backends("web").keys().isdisjoint(fleet_load._backends("license"))
