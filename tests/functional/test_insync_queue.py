"""The verbs of the queue, and its room, against a small beanstalkd that this file plays."""

import http.server
import json
import socketserver
import threading

import insync_verb
import pytest
from insync_journal import history
from salt.exceptions import CommandExecutionError, SaltInvocationError

ROOM = {"late_seconds": 60, "free_min": "1K", "binlog_max": "1G"}
OUTBOX = {"waiting": 1, "unconfirmed": 2, "buried": 3, "refused": 0, "oldest_seconds": 4}


class Jobs:
    """What is in the queue: name of the tube -> kind -> numbers of jobs; each is as many seconds old as its number."""

    def __init__(self):
        self.tubes = {"default": {}, "mail": {"ready": [5], "buried": [9, 8, 7]}}
        self.written, self.log, self.takes, self.draining, self.workers = 0, True, "INSERTED 1", "false", 1

    def answer(self, words, used):
        verb, name = words[0], words[1] if len(words) > 1 else ""
        tube = self.tubes.get(used, {})
        if verb == "stats":
            said = {"version": '"1.12"', "uptime": 3, "draining": self.draining, "binlog-records-written": self.written}
            return self._body(said)
        if verb == "list-tubes":
            return self._text("---\n" + "".join(f"- {name}\n" for name in self.tubes))
        if verb == "stats-tube":
            kinds = ("ready", "reserved", "delayed", "buried")
            said = {f"current-jobs-{kind}": len(self.tubes[name].get(kind, ())) for kind in kinds}
            return self._body({**said, "current-watching": self.workers})
        if verb == "stats-job":
            return self._body({"age": name})
        if verb.startswith("peek-"):
            jobs = tube.get(verb.partition("-")[2])
            return f"FOUND {jobs[0]} 4\r\nbody" if jobs else "NOT_FOUND"
        if verb == "kick-job":
            tube["buried"].remove(int(name))
            return "KICKED"
        if verb == "put":
            self.written += self.log
            return self.takes
        return {"use": f"USING {name}", "delete": "DELETED"}[verb]

    def _body(self, mapping):
        return self._text("---\n" + "".join(f"{key}: {value}\n" for key, value in mapping.items()))

    def _text(self, text):
        return f"OK {len(text)}\r\n{text}"


@pytest.fixture
def jobs():
    """What is in the queue; ``jobs.port`` is where it answers."""
    kept = Jobs()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            used = "default"
            for line in self.rfile:
                words = line.decode().split()
                used = words[1] if words[0] == "use" else used
                if words[0] == "put":
                    self.rfile.readline()
                self.wfile.write(f"{kept.answer(words, used)}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.port, kept.server = server.server_address[1], server
        yield kept
        server.shutdown()


@pytest.fixture
def mailer():
    """What the mailer says of the outbox: a status and a document; ``mailer.port`` is where."""

    class Handler(http.server.BaseHTTPRequestHandler):
        said = (200, OUTBOX)

        def do_GET(self):
            self.send_response(self.said[0] if self.path == "/outbox" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(self.said[1]).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Handler.port, Handler.server = server.server_address[1], server
        yield Handler
        server.shutdown()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Records and locks are the test's, and so is the queue's log."""
    monkeypatch.setattr(insync_verb, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(insync_verb, "LOCKS", tmp_path / "locks")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "binlog.1").write_bytes(b"x" * 2048)
    import insync_queue

    real = insync_queue.space
    monkeypatch.setattr(insync_queue, "space", lambda folder=str(tmp_path / "log"): real(folder))
    return tmp_path


@pytest.fixture
def verbs(opts, jobs, mailer):
    """``verbs("queue_status")`` calls the verb on a server with the queue and a mailer."""
    import salt.loader

    opts["pillar"] = {
        "beanstalkd": ROOM,
        "host": {"private": "127.0.0.1"},
        "endpoints": {"beanstalkd": {"port": jobs.port}},
        "apps": {"mailer": {"port": mailer.port}},
    }
    loaded = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
    return lambda name, *words, **options: loaded[f"insync.{name}"](*words, **options)


def test_what_is_there_is_told(verbs):
    said = verbs("queue_status")
    assert said["tubes"]["mail"] == {
        **{"ready": 1, "reserved": 0, "delayed": 0, "buried": 3, "workers": 1},
        **{"oldest_ready": 5, "oldest_buried": 9},
    }
    assert (said["server"], said["outbox"], said["written"]) == ("web02", OUTBOX, True)
    assert said["space"]["binlog"] == 2048 and said["space"]["free"] > 2048
    assert said["problems"] == ["mail: 3 jobs are buried, the first for 9 s"]


def test_what_is_wrong_is_told(verbs, jobs, mailer):
    jobs.tubes = {"mail": {"ready": [61], "delayed": [1]}}
    mailer.said = (200, {**OUTBOX, "refused": 1, "oldest_seconds": 61})
    jobs.log = False
    assert verbs("queue_status")["problems"] == [
        "it does not write jobs to its log; see that the disk is well, and restart it",
        "mail: a job waits for 61 s",
        "the outbox has 1 mails that the queue does not take",
        "the outbox has a mail that was not sent for 61 s",
    ]
    jobs.workers, jobs.takes = 0, "BURIED 7"
    said = verbs("queue_status")
    assert said["written"] is False, "what it only keeps in its memory is not written"
    assert "mail: 2 jobs wait, and nobody is there who takes them" in said["problems"]
    jobs.draining, before = "true", jobs.written
    assert verbs("queue_status")["problems"][0] == "it takes no jobs: it is draining"
    assert jobs.written == before, "it is not asked then"


def test_what_cannot_be_known_is_an_error(verbs, jobs, mailer):
    mailer.said = (503, {"error": "mysql: Can't connect"})
    with pytest.raises(
        CommandExecutionError, match="the mailer does not say what is in the outbox: mysql: Can't connect"
    ):
        verbs("queue_status")
    mailer.said = (404, {"error": "no such page"})
    with pytest.raises(CommandExecutionError, match="no such page"):
        verbs("queue_status")
    jobs.server.shutdown()
    jobs.server.server_close()
    for name in ("queue_status", "queue_kick"):
        with pytest.raises(CommandExecutionError, match=r"^beanstalkd at 127.0.0.1:\d+ does not answer: "):
            verbs(name)


def test_what_is_buried_is_kicked_the_oldest_first_and_recorded(verbs, jobs, here):
    assert verbs("queue_kick", "mail", 2, test=True) == {"tube": "mail", "kicked": 2, "buried": 1}
    assert (jobs.tubes["mail"]["buried"], (here / "records").exists()) == ([9, 8, 7], False)
    assert verbs("queue_kick", "mail", 2, __pub_user="sudo_alice") == {"tube": "mail", "kicked": 2, "buried": 1}
    assert jobs.tubes["mail"]["buried"] == [7]
    (kept,) = history(here / "records" / "queue")
    assert {key: kept[key] for key in ("verb", "by", "end", "kicked")} == {
        **{"verb": "insync.queue_kick mail 2", "by": "sudo_alice", "end": "ok", "kicked": 2},
    }
    assert verbs("queue_kick") == {"tube": "mail", "kicked": 1, "buried": 0}
    assert verbs("queue_kick") == {"tube": "mail", "kicked": 0, "buried": 0}


@pytest.mark.parametrize(
    "words, options, error, said",
    [
        (["nope"], {}, CommandExecutionError, "tube=nope: there is none; there is default, mail"),
        (["a b"], {}, SaltInvocationError, "tube=a b: is not the name of a tube"),
        (["-x"], {}, SaltInvocationError, "tube=-x: is not the name of a tube"),
        (["mail\r\nkick 9"], {}, SaltInvocationError, "is not the name of a tube"),
        (["mail", 0], {}, SaltInvocationError, "limit=0: is not a number from 1 to 10000"),
        (["mail", "ten"], {}, SaltInvocationError, "limit=ten: is not a number"),
        (["mail", True], {}, SaltInvocationError, "limit=True: is not a number"),
        (["mail", 10001], {}, SaltInvocationError, "limit=10001: is not a number"),
        (["mail", 1, "more"], {}, SaltInvocationError, "more: one word too many"),
        ([], {"tubes": "x"}, SaltInvocationError, "tubes=x: no option; there is tube, limit, test"),
        ([], {"test": "maybe"}, SaltInvocationError, "test=maybe: is neither True nor False"),
    ],
)
def test_a_bad_call_is_refused_in_one_line(verbs, jobs, words, options, error, said):
    with pytest.raises(error) as caught:
        verbs("queue_kick", *words, **options)
    assert said in str(caught.value)
    assert jobs.tubes["mail"]["buried"] == [9, 8, 7]


def test_a_server_without_a_queue_says_so(opts, modules):
    for name in ("queue_status", "queue_kick"):
        with pytest.raises(CommandExecutionError, match="^this server has no queue$"):
            modules[f"insync.{name}"]()


@pytest.mark.parametrize(
    "free_min, binlog_max, result, said",
    [
        ("1K", "1G", True, "has room"),
        ("900T", "1G", False, "are free for the queue's log, and not 900T"),
        ("1K", "1K", False, "the queue's log has 0M, more than 1K"),
        ("1K", "many", False, "'many' is not a size"),
    ],
)
def test_little_room_is_red_before_there_is_none(single, here, testmode, free_min, binlog_max, result, said):
    found = single("insync_queue.roomy", testmode, name=str(here / "log"), free_min=free_min, binlog_max=binlog_max)
    assert (found["result"], found["changes"]) == (result, {}) and said in found["comment"]


def test_a_log_that_is_not_there_yet_comes_with_the_package(single, here, testmode):
    found = single("insync_queue.roomy", testmode, name=str(here / "none"), free_min="1K", binlog_max="1G")
    assert found["result"] is testmode
