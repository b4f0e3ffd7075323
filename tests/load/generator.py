"""
A strict load generator: HTTP/1.1 clients that send nothing twice and account for every reply. One file, stdlib only.

    python3 generator.py https://www.insynchq.com --requests 50000 --rate 400

Kinds of clients, each a thread:

keepalive  asks as fast as --rate lets it, on one connection; a share of its requests are POSTs with ids of their own
oneshot    a new connection, with its handshake, for every request
slow       always has a request in flight that takes its time
idle       asks about once in --pause seconds, and blindly: like a browser far away that has not yet seen the end of the
           connection, it does not look whether it was closed before it sends

What the standard input says while it runs, a line each:

mark NAME [@EPOCH]  a new window begins, now or at that time: latencies are told for each window of the run
stop                no new requests, once there were --least; the input's end means it too where neither --requests nor
                    --seconds is given
end                 no new requests, from now on

At the end the report is printed, one JSON object; `report` tells what is in it.
"""

import argparse
import bisect
import collections
import io
import itertools
import json
import math
import random
import resource
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
import typing
import urllib.parse
import uuid

STAMP = b"x-insync-release"
SLOWEST = 100
AT_MOST = 50
# How long a release must answer most requests so that its return is a switch, and not a stray reply.
SETTLE = 1.0
# What a stall kept from being sent in time is not made up for beyond this.
CATCH_UP = 0.1
AFTER_REFUSAL = 0.05
LONGEST_HEAD = 65536

now = time.monotonic
# Added to now(): seconds since the epoch.
EPOCH = time.time() - now()


class Failed(Exception):
    """The reply is none, or not a whole one; the message says what it was."""


class Request(typing.NamedTuple):
    """What is sent: its bytes, and how a good reply to it begins and what it holds."""

    said: str
    content: bytes
    status: int
    holds: bytes = b""
    id: str = ""


class Reply(typing.NamedTuple):
    """What came back; ``last``: the connection ends with it."""

    status: int
    fields: dict
    body: bytes
    last: bool


class Answered(typing.NamedTuple):
    """A good reply: when its client began (connection included), sent, and had all of it; and by whom it is."""

    kind: str
    begun: float
    sent: float
    arrived: float
    release: str
    slot: str
    host: str


# HTTP.


class Target:
    """
    Where requests go.

    url (str): http or https, name and port; the certificate has to be good for the name.
    address (str): to connect to, where it is not what the name resolves to.
    timeout (float): seconds, of each step of a connection.
    """

    def __init__(self, url, address=None, timeout=20.0):
        parts = urllib.parse.urlsplit(url)
        self.name = parts.hostname
        self.place = (address or parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self.host = parts.netloc
        self.timeout = timeout
        self.context = ssl.create_default_context() if parts.scheme == "https" else None

    def connect(self):
        """Return a connected socket. Raises OSError."""
        plain = socket.create_connection(self.place, self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.context:
            return plain
        try:
            return self.context.wrap_socket(plain, server_hostname=self.name)
        except BaseException:
            plain.close()
            raise

    def get(self, path, last=False):
        """Return the Request of ``path`` (str); ``last`` asks for the connection's end after it."""
        close = "Connection: close\r\n" if last else ""
        return Request(f"GET {path}", f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n{close}\r\n".encode(), 200)

    def post(self, path, number):
        """Return the Request that hands in the id ``number`` (str)."""
        body = json.dumps({"id": number})
        fields = f"Host: {self.host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        content = f"POST {path} HTTP/1.1\r\n{fields}\r\n{body}".encode()
        return Request(f"POST {path}", content, 201, f'"{number}"'.encode(), number)


class Connection:
    """A connection that is made when it is needed; what is sent on it is never sent again."""

    def __init__(self, target):
        self.target = target
        self.socket = None
        self.asked = 0
        self.sent = 0
        self._data = b""

    def ask(self, request):
        """Send ``request`` without a look at the connection; return the Reply. Raises Failed or OSError."""
        if self.socket is None:
            self.asked, self._data = 0, b""
            self.socket = self.target.connect()
        self.asked += 1
        self.sent = now()
        self.socket.sendall(request.content)
        reply = self._reply()
        if reply.last:
            self.close()
        return reply

    def close(self):
        """Forget the connection; the next request makes another."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def _reply(self):
        status, fields, last = parse(self._until(b"\r\n\r\n", "the head"))
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            body = self._chunks()
        elif b"content-length" in fields:
            body = self._take(int(fields[b"content-length"]), "the body")
        else:
            raise Failed(f"{status}, with neither a length nor chunks")
        if self._data:
            raise Failed(f"{status}, and {len(self._data)} bytes more than it says: {self._data[:80]!r}")
        return Reply(status, fields, body, last)

    def _chunks(self):
        parts = []
        while size := int(self._until(b"\r\n", "a chunk's length").partition(b";")[0], 16):
            parts.append(self._take(size + 2, "a chunk")[:-2])
        while self._until(b"\r\n", "the trailer"):
            pass
        return b"".join(parts)

    def _until(self, mark, what):
        while (end := self._data.find(mark)) < 0:
            if len(self._data) > LONGEST_HEAD:
                raise Failed(f"{what} does not end")
            self._more(what)
        found, self._data = self._data[:end], self._data[end + len(mark) :]
        return found

    def _take(self, size, what):
        while len(self._data) < size:
            self._more(f"{what}, {len(self._data)} of {size} bytes")
        found, self._data = self._data[:size], self._data[size:]
        return found

    def _more(self, what):
        data = self.socket.recv(65536)
        if not data:
            raise Failed("closed without an answer" if what == "the head" and not self._data else f"cut within {what}")
        self._data += data


def parse(head):
    """Return (status, {lower-case name: value}, whether the connection ends) of a reply's ``head`` (bytes)."""
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise Failed(f"no HTTP: {first[:80]!r}")
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    words = fields.get(b"connection", b"keep-alive" if version == b"HTTP/1.1" else b"close").lower()
    return int(rest[:3]), fields, b"close" in words


def wrong(request, reply):
    """Return why ``reply`` is not a good one to ``request``, or None."""
    if reply.status != request.status:
        traced = reply.fields.get(b"x-request-id", b"").decode("latin-1")
        return f"{reply.status}: {reply.body[:200].decode('latin-1')}{f' (X-Request-Id {traced})' if traced else ''}"
    if request.holds not in reply.body:
        return f"{reply.status}, of another request: {reply.body[:200].decode('latin-1')}"
    if reply.fields.get(STAMP, b"").count(b"/") != 2:
        return f"{reply.status}, without release, slot and host in {STAMP.decode()}"
    return None


# The run.


class Pacer:
    """Spreads the beginnings of all requests over time; ``rate``: a second, 0 for no limit."""

    def __init__(self, rate):
        self.step = 1 / rate if rate else 0
        self._next = now()
        self._lock = threading.Lock()

    def turn(self):
        """Return the seconds to wait until the next request; clients with a rhythm of their own do not wait for it."""
        with self._lock:
            began = now()
            turn = max(self._next, began - CATCH_UP)
            self._next = turn + self.step
        return turn - began


class Run:
    """
    What all clients share: when they end, and what they saw.

    options (argparse.Namespace): see `options`.
    """

    def __init__(self, options):
        self.options = options
        self.target = Target(options.url, options.connect, options.timeout)
        self.pacer = Pacer(options.rate)
        self.over = threading.Event()
        self.stopping = threading.Event()
        self.answered, self.failures = [], []
        self.acknowledged, self.unacknowledged = [], []
        self.marks = [(now(), "start")]
        self._name = uuid.uuid4().hex[:12]
        self._limit = options.requests or math.inf
        self._numbers, self._ids = itertools.count(), itertools.count(1)

    def begins(self):
        """Whether another request may begin; it counts from here on."""
        if self.over.is_set():
            return False
        if next(self._numbers) >= self._limit:
            self.over.set()
            return False
        return True

    def begun(self):
        """Return how many requests were begun; only when no more will be."""
        return min(next(self._numbers), self._limit)

    def done(self):
        """Return how many requests have come to their end, good or bad."""
        return len(self.answered) + len(self.failures)

    def post(self):
        """Return a Request with an id that no other has, in this run or another."""
        return self.target.post(self.options.post_path, f"{self._name}-{next(self._ids)}")

    def ask(self, kind, connection, request):
        """Send ``request`` (Request) once and keep what comes of it; return whether it was good."""
        begun = now()
        try:
            reply = connection.ask(request)
            why = wrong(request, reply)
        except (Failed, OSError, ValueError) as exc:
            why = str(exc) if isinstance(exc, Failed) else f"{type(exc).__name__}: {exc}"
            connection.close()
        arrived = now()
        if request.id:
            (self.unacknowledged if why else self.acknowledged).append(request.id)
        if why:
            self._failed(kind, connection, request, begun, arrived, why)
        else:
            stamp = reply.fields[STAMP].decode("latin-1").split("/")
            self.answered.append(Answered(kind, begun, connection.sent, arrived, *stamp))
        return not why

    def _failed(self, kind, connection, request, begun, arrived, why):
        number = f" id {request.id}" if request.id else ""
        said = f"{request.said}{number}, request {connection.asked} of its connection"
        ms = round((arrived - begun) * 1000, 1)
        self.failures.append({"kind": kind, "at": begun, "after_ms": ms, "sent": said, "what": why})

    def mark(self, name, at=None):
        """Let the window ``name`` (str) begin, at ``at`` (seconds since the epoch) or now."""
        self.marks.append((at - EPOCH if at else now(), name))


def client(run, kind, *, paced=False, keep=True, pause=0.0, requests=None):
    """
    Ask until the run is over.

    paced (bool): waits for its turn.
    keep (bool): the connection is kept for the next request.
    pause (float): seconds between two requests, about.
    requests (callable): returns the Request number n of this client.
    """
    connection = Connection(run.target)
    run.over.wait(random.uniform(0, pause))
    for number in itertools.count():
        wait = run.pacer.turn()
        if paced and wait > 0:
            run.over.wait(wait)
        if not run.begins():
            break
        good = run.ask(kind, connection, requests(number))
        if not keep:
            connection.close()
        if pause:
            run.over.wait(random.uniform(0.5, 1.5) * pause)
        elif not good and connection.socket is None:
            run.over.wait(AFTER_REFUSAL)
    connection.close()


def guarded(run, kind, **how):
    """Be a client; an error of this program is a failure of the run, and its end."""
    try:
        client(run, kind, **how)
    except BaseException:
        said = {"kind": kind, "at": now(), "after_ms": 0, "sent": "", "what": f"generator: {traceback.format_exc()}"}
        run.failures.append(said)
        run.over.set()


def clients(run):
    """Return the threads (list) of all clients, not yet started."""
    options, target = run.options, run.target
    page, once, late = target.get(options.path), target.get(options.path, last=True), target.get(options.slow_path)

    def mixed(number):
        return run.post() if int((number + 1) * options.posts) > int(number * options.posts) else page

    kinds = {
        "keepalive": {"paced": True, "requests": mixed},
        "oneshot": {"paced": True, "keep": False, "requests": lambda _: once},
        "slow": {"requests": lambda _: late},
        "idle": {"pause": options.pause, "requests": lambda _: page},
    }
    return [
        threading.Thread(target=guarded, args=(run, kind), kwargs=how)
        for kind, how in kinds.items()
        for _ in range(getattr(options, kind))
    ]


def listen(run, lines):
    """Do what ``lines`` (iterable of bytes) say, until they end."""
    for line in lines:
        try:
            _obey(run, line.decode().split())
        except ValueError:
            print(f"not understood: {line!r}", file=sys.stderr, flush=True)
    if not (run.options.requests or run.options.seconds):
        run.stopping.set()


def _obey(run, words):
    match words:
        case ["stop"]:
            run.stopping.set()
        case ["end"]:
            run.over.set()
        case ["mark", name]:
            run.mark(name)
        case ["mark", name, at]:
            run.mark(name, float(at.removeprefix("@")))
        case _:
            raise ValueError(words)


def watch(run):
    """Wait for the end of the run; say each second how it goes."""
    began, said, before = now(), 0, 0
    while not run.over.wait(0.05):
        passed, done = now() - began, run.done()
        stopped = run.stopping.is_set() and done >= run.options.least
        if stopped or (run.options.seconds and passed >= run.options.seconds):
            run.over.set()
        if passed >= said + 1:
            print(f"{passed:.0f} s: {done} done, {done - before} new, {len(run.failures)} failed", file=sys.stderr)
            sys.stderr.flush()
            said, before = passed, done


def drive(options, lines=()):
    """
    Run all clients to their end; return the report (dict).

    options (argparse.Namespace): see `options`.
    lines (iterable of bytes): orders, see the top.
    """
    run = Run(options)
    threads = clients(run)
    # Not joined: it may wait for a line for ever.
    threading.Thread(target=listen, args=(run, lines), daemon=True).start()
    before = signal.signal(signal.SIGTERM, lambda *_: run.over.set())
    for thread in threads:
        thread.start()
    try:
        watch(run)
    finally:
        run.over.set()
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGTERM, before)
    if options.ids:
        with open(options.ids, "w", encoding="utf-8") as file:
            json.dump({"acknowledged": run.acknowledged, "failed": run.unacknowledged}, file)
    return report(run, now())


# The report.


def percentiles(seconds):
    """Return {"count", "p50", "p99", "p99.9", "max"} of ``seconds`` (iterable of float), in ms; None of nothing."""
    ordered = sorted(seconds)
    ranks = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    found = {name: ordered[math.ceil(share * len(ordered)) - 1] if ordered else None for name, share in ranks.items()}
    return {
        "count": len(ordered),
        **{name: None if one is None else round(one * 1000, 2) for name, one in found.items()},
    }


def windows(marks, ended, answered, failures):
    """
    Return a dict for each window between two marks, in their order; a request belongs to the one that it was begun in.

    ``slowest_ms`` of each are the latencies of its slowest requests, so that a percentile of several runs can be told.

    marks (list of (time, name)), ended (float): the run's.
    answered (list of Answered), failures (list of dict): all of the run.
    """
    marks = sorted(marks)
    begins = [at for at, _ in marks]
    quick, slow, failed = ([[] for _ in marks] for _ in range(3))
    for one in answered:
        number = max(0, bisect.bisect_right(begins, one.begun) - 1)
        (slow if one.kind == "slow" else quick)[number].append(one.arrived - one.begun)
    for one in failures:
        failed[max(0, bisect.bisect_right(begins, one["at"]) - 1)].append(one)
    found = []
    for number, ((at, name), until) in enumerate(zip(marks, [*begins[1:], ended], strict=True)):
        told = {"name": name, "from": at + EPOCH, "until": until + EPOCH, "failed": len(failed[number])}
        slowest = [round(one * 1000, 2) for one in sorted(quick[number], reverse=True)[:SLOWEST]]
        latencies = {"ms": percentiles(quick[number]), "slow_ms": percentiles(slow[number]), "slowest_ms": slowest}
        found.append({**told, **latencies})
    return found


def releases(answered, settle=SETTLE):
    """
    Return (switches, stale): which release and slot served when, and the replies (list of Answered) that do not fit.

    A switch is a time and what serves from then on; the first one is the beginning. Replies are taken in the order in
    which they arrived. One is explained if it is of what served at any moment from when its request was sent until it
    arrived, as far as earlier replies tell: a slow reply may be of what served before the last switch, or before
    several, if its request was sent before. One that is not explained is

    - a switch, if nobody has answered by that release in that slot yet: "after the first reply of a newer one";
    - a switch back, if it is of one seen before, and more than half of the requests that were sent in the ``settle``
      seconds (float) after it arrived are answered by the same one: so four flips between two slots are four switches;
    - stale otherwise.

    So a flip that is not atomic shows as stale replies, whether to a new release or back. A single stray reply of a
    release that nobody had seen is two switches, there and back: compare their number with what was done.
    """
    by_sent = sorted((one.sent, (one.release, one.slot)) for one in answered)
    sent = [at for at, _ in by_sent]
    times, served, stale = [], [], []
    for one in sorted(answered, key=lambda one: one.arrived):
        who = (one.release, one.slot)
        known = max(0, bisect.bisect_right(times, one.sent) - 1)
        if who in served[known:]:
            continue
        later = by_sent[bisect.bisect_right(sent, one.arrived) : bisect.bisect_right(sent, one.arrived + settle)]
        if who in served and 2 * sum(other == who for _, other in later) <= len(later):
            stale.append(one)
        else:
            times.append(one.arrived)
            served.append(who)
    return list(zip(times, served, strict=True)), stale


def report(run, ended):
    """
    Return what happened in ``run`` (Run), as a dict; times are seconds since the epoch:

    sent, answered, failed_count (sent is their sum), failed (the first 50 in full); kinds: the same for each kind
    ms: latencies of all but the slow requests, connection included; slow_ms: those of the slow ones
    windows: see `windows`
    releases: for each release/slot/host the replies, and when the first was sent and the last arrived
    switches, stale, stale_replies: see `releases`; `switches` without the beginning
    posts: sent, acknowledged, failed; seconds, rate, cpu_seconds: of the run and of this program
    """
    answered, failures = run.answered, sorted(run.failures, key=lambda one: one["at"])
    (_, *switches), stale = releases(answered) if answered else ([None], [])
    began, used = run.marks[0][0], resource.getrusage(resource.RUSAGE_SELF)
    return {
        "sent": run.begun(),
        "answered": len(answered),
        "failed_count": len(failures),
        "failed": [{**one, "at": one["at"] + EPOCH} for one in failures[:AT_MOST]],
        "kinds": {kind: _kind(kind, answered, failures) for kind in ("keepalive", "oneshot", "slow", "idle")},
        "ms": percentiles(one.arrived - one.begun for one in answered if one.kind != "slow"),
        "slow_ms": percentiles(one.arrived - one.begun for one in answered if one.kind == "slow"),
        "windows": windows(run.marks, ended, answered, failures),
        "releases": _who(answered),
        "switches": [{"at": at + EPOCH, "release": who[0], "slot": who[1]} for at, who in switches],
        "stale": len(stale),
        "stale_replies": [_told(one) for one in stale[:AT_MOST]],
        "posts": {
            "sent": len(run.acknowledged) + len(run.unacknowledged),
            "acknowledged": len(run.acknowledged),
            "failed": len(run.unacknowledged),
        },
        "began": began + EPOCH,
        "seconds": round(ended - began, 3),
        "rate": round(run.done() / (ended - began), 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
    }


def _kind(kind, answered, failures):
    good = [one.arrived - one.begun for one in answered if one.kind == kind]
    bad = sum(one["kind"] == kind for one in failures)
    return {"sent": len(good) + bad, "answered": len(good), "failed": bad, "ms": percentiles(good)}


def _who(answered):
    groups = collections.defaultdict(list)
    for one in answered:
        groups[f"{one.release}/{one.slot}/{one.host}"].append(one)
    return {
        name: {
            "replies": len(group),
            "first_sent": min(one.sent for one in group) + EPOCH,
            "last_arrived": max(one.arrived for one in group) + EPOCH,
        }
        for name, group in groups.items()
    }


def _told(one):
    times = {name: value + EPOCH for name, value in one._asdict().items() if isinstance(value, float)}
    return {**one._asdict(), **times}


def options(arguments):
    """Return what the command line says (argparse.Namespace)."""
    parser = argparse.ArgumentParser(description="A strict load generator; its docstring tells what its input may say.")
    parser.add_argument("url", help="https://name[:port], or http for tests")
    parser.add_argument("--connect", metavar="ADDRESS", help="where the name leads to, if not where it resolves to")
    parser.add_argument("--keepalive", type=int, default=16, help="clients in a tight loop")
    parser.add_argument("--oneshot", type=int, default=4, help="clients with a connection for each request")
    parser.add_argument("--slow", type=int, default=8, help="clients that always have a slow request in flight")
    parser.add_argument("--idle", type=int, default=40, help="clients that send blindly after a pause")
    parser.add_argument("--posts", type=float, default=0.2, help="share of the tight loop's requests")
    parser.add_argument("--pause", type=float, default=1.0, help="of idle clients, seconds")
    parser.add_argument("--rate", type=float, default=0, help="requests a second, of all kinds; 0: no limit")
    parser.add_argument("--requests", type=int, default=0, help="the run ends after so many")
    parser.add_argument("--seconds", type=float, default=0, help="the run ends after so many")
    parser.add_argument("--least", type=int, default=0, help="a stop on the input waits for so many requests")
    parser.add_argument("--timeout", type=float, default=20, help="of connecting and of each wait for data, seconds")
    parser.add_argument("--path", default="/version")
    parser.add_argument("--slow-path", default="/slow?seconds=2")
    parser.add_argument("--post-path", default="/receipt", help='takes {"id": ...} and answers 201 with the id')
    parser.add_argument("--ids", metavar="FILE", help="where the ids of the POSTs are written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    # Unbuffered: the interpreter's end would wait for the lock of a buffered one.
    print(json.dumps(drive(options(sys.argv[1:]), io.FileIO(0, closefd=False))))
