"""What the stand-ins share: conf, readiness, mails, systemd."""

import json
import signal
import socket
import threading
import time
import types

import pytest
from insync_core import conf, confserver, faults, mail, notify, rest, settings
from insync_core.errors import Unavailable, needed
from insync_core.readiness import Readiness

NEEDS = {"greeting": str, "mysql": {"host": str, "port": int}}
GOOD = {"greeting": "Hello", "mysql": {"host": "db", "port": 3306}}


@pytest.fixture
def server(monkeypatch):
    """A conf server: what it answers, or raises, next."""
    answers = {"next": ({"rev": 1, "conf": GOOD}, '"1"'), "etags": []}

    def ask(url, token, ca_file, *, etag=None):
        answers["etags"].append(etag)
        if isinstance(answers["next"], Exception):
            raise answers["next"]
        return answers["next"]

    monkeypatch.setattr(confserver, "ask", ask)
    monkeypatch.setattr(conf, "EVERY", 3600)
    return answers


def client(tmp_path, namespace="web"):
    """A Conf, as after a start."""
    return conf.Conf(settings.Settings("https://ct1", namespace, "ca", "token", tmp_path), NEEDS)


def test_conf_is_fetched_and_kept_for_the_owner_only(server, tmp_path):
    assert client(tmp_path).values() == GOOD
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "token" not in kept.read_text()


def test_without_a_server_the_kept_conf_serves_and_readiness_says_so(server, tmp_path):
    client(tmp_path).values()
    server["next"] = confserver.Unreachable("ct1:7000: refused")
    later = client(tmp_path)
    assert later.values() == GOOD
    assert later.check() == "cached revision 1: ct1:7000: refused"


def test_without_both_it_waits_and_recovers_by_itself(server, tmp_path):
    server["next"] = confserver.Refused(401, "the token is missing or wrong")
    waiting = client(tmp_path)
    with pytest.raises(Unavailable, match="conf: the token is missing or wrong"):
        waiting.check()
    server["next"] = ({"rev": 1, "conf": GOOD}, '"1"')
    waiting.refresh()
    assert waiting.check() == "revision 1"


@pytest.mark.parametrize(
    "values, why",
    [
        ({"greeting": "Hello"}, "mysql is missing"),
        ({**GOOD, "greeting": 5}, "greeting is not a text"),
        ({**GOOD, "mysql": []}, "mysql is not an object"),
        ({**GOOD, "mysql": {"host": "db", "port": "3306"}}, "mysql.port is not a number above 0"),
        ({**GOOD, "mysql": {"host": "db", "port": True}}, "mysql.port is not a number above 0"),
    ],
)
def test_a_revision_that_cannot_work_is_refused_and_the_last_one_stays(server, tmp_path, values, why):
    running = client(tmp_path)
    running.values()
    server["next"] = ({"rev": 2, "conf": values}, '"2"')
    running.refresh()
    assert running.values() == GOOD
    assert running.check() == f"cached revision 1: revision 2 refused: {why}"
    # And a blank server is not ready with it.
    (tmp_path / "conf.json").unlink()
    with pytest.raises(Unavailable, match=f"conf: revision 2 refused: {why}"):
        client(tmp_path).check()


def test_what_is_known_is_not_sent_again(server, tmp_path):
    running = client(tmp_path)
    running.values()
    server["next"] = (None, '"1"')
    running.refresh()
    assert server["etags"] == [None, '"1"']
    assert running.check() == "revision 1"


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"namespace": "web", "rev": 1, "etag": null, "conf": 5}', "\xff"])
def test_a_broken_cache_is_as_none(server, tmp_path, kept):
    (tmp_path / "conf.json").write_text(kept, encoding="latin-1")
    server["next"] = confserver.Unreachable("ct1:7000: refused")
    with pytest.raises(Unavailable, match="refused"):
        client(tmp_path).values()


def test_the_cache_of_another_namespace_is_as_none(server, tmp_path):
    client(tmp_path).values()
    server["next"] = confserver.Unreachable("ct1:7000: refused")
    with pytest.raises(Unavailable):
        client(tmp_path, "license").values()


@pytest.mark.parametrize("answer", [[], {}, {"rev": "1", "conf": {}}, {"rev": 1, "conf": None}])
def test_an_answer_of_another_shape_is_no_conf(server, tmp_path, answer):
    server["next"] = (answer, None)
    with pytest.raises(Unavailable, match="the answer has no rev and conf"):
        client(tmp_path).check()


def test_conf_is_asked_for_over_https_only():
    with pytest.raises(confserver.Unreachable, match="not an https address"):
        confserver.ask("http://ct1:7000/", "token", None)


def test_settings_name_what_the_unit_lacks(monkeypatch, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text('{"conf_url": "https://ct1", "namespace": "web"}')
    monkeypatch.delenv("INSYNC_SETTINGS", raising=False)
    with pytest.raises(settings.SettingsError, match="INSYNC_SETTINGS is not set"):
        settings.load()
    monkeypatch.setenv("INSYNC_SETTINGS", str(file))
    with pytest.raises(settings.SettingsError, match="settings.json: no ca_file"):
        settings.load()
    file.write_text('{"conf_url": "https://ct1", "namespace": "web", "ca_file": "ca"}')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(settings.SettingsError, match="conf_token: No such file"):
        settings.load()
    (tmp_path / "conf_token").write_text("secret\n")
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    found = settings.load()
    assert (found.token, found.state) == ("secret", tmp_path)
    assert "secret" not in repr(found)


def test_readiness_asks_all_at_once_and_keeps_the_answer():
    calls = []

    def slow():
        calls.append(1)
        time.sleep(0.3)
        return "here"

    readiness = Readiness({"one": slow, "two": slow, "three": slow})
    begun = time.monotonic()
    assert readiness.answer() == readiness.answer()
    assert time.monotonic() - begun < 0.8
    assert len(calls) == 3
    assert readiness.answer()["two"] == {"ok": True, "detail": "here"}


def test_readiness_does_not_wait_for_what_hangs_nor_begins_it_again(monkeypatch):
    monkeypatch.setattr("insync_core.readiness.KEPT", 0)
    calls, end = [], threading.Event()

    def hangs():
        calls.append(1)
        end.wait(10)
        return "here"

    readiness = Readiness({"mysql": hangs, "redis": lambda: "here"})
    # Waited for again with the second limit, it would have ended.
    for limit in (0.2, 60):
        monkeypatch.setattr("insync_core.readiness.LIMIT", limit)
        assert readiness.answer() == {
            "mysql": {"ok": False, "detail": f"no answer within {limit} s"},
            "redis": {"ok": True, "detail": "here"},
        }
    assert len(calls) == 1
    end.set()
    # What ends a moment later is told the next time.
    for thread in [thread for thread in threading.enumerate() if thread.name == "check-mysql"]:
        thread.join(30)
    assert readiness.answer()["mysql"]["ok"]


def test_a_check_that_gives_up_waiting_by_itself_fails():
    def gives_up():
        raise TimeoutError("timed out")

    assert Readiness({"mysql": gives_up}).answer() == {"mysql": {"ok": False, "detail": "TimeoutError: timed out"}}


def test_what_is_silent_keeps_one_caller_waiting_at_a_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(rest.time, "monotonic", lambda: now[0])
    cache = rest.Rest(5)
    assert cache.over() and cache.over(), "one that is well is asked by all"
    cache.begin()
    assert not cache.over()
    now[0] += 6
    assert cache.over() and not cache.over(), "one tries, the others go without"
    cache.end()
    assert cache.over() and cache.over()


def test_readiness_names_what_is_missing():
    def without_conf():
        raise Unavailable("conf", "refused")

    def refused():
        with needed("redis"):
            raise ConnectionRefusedError("Connection refused")

    def broken():
        raise KeyError("port")

    answer = Readiness({"mysql": without_conf, "redis": refused, "beanstalkd": broken}).answer()
    assert {name: check["detail"] for name, check in answer.items()} == {
        "mysql": "conf: refused",
        "redis": "Connection refused",
        "beanstalkd": "KeyError: port",
    }
    assert not any(check["ok"] for check in answer.values())


def test_what_one_can_do_without_is_said_and_keeps_nobody_away():
    checks = {"mysql": lambda: "here", "redis": lambda: 1 / 0}
    for optional, ready in (((), False), (["redis"], True)):
        readiness = Readiness(checks, optional=optional)
        answer = readiness.answer()
        assert (answer["mysql"]["ok"], answer["redis"]["ok"], readiness.is_ready(answer)) == (True, False, ready)


def test_a_version_can_be_built_to_be_never_ready():
    answer = Readiness({}, "unready").answer()
    assert answer == {"fault": {"ok": False, "detail": "this version is built to be never ready"}}
    assert faults.checks("") == {}


MAIL = {
    "id": "a-1.b_2",
    "from": "Insync <noreply@insynchq.com>",
    "to": "x@customer.test",
    "subject": "S",
    "text": "T\n",
}


def test_a_mail_survives_the_queue():
    made = mail.Mail("1", "x@customer.test", "Sübject", "T", "Insync <noreply@insynchq.com>")
    assert mail.parse(made.job()) == made
    assert made.envelope == "noreply@insynchq.com"


def test_a_mail_without_sender_gets_one():
    body = json.dumps({key: value for key, value in MAIL.items() if key != "from"}).encode()
    assert mail.parse(body).sender == "noreply@insynchq.com"


@pytest.mark.parametrize(
    "change, why",
    [
        ({"id": None}, "no id"),
        ({"id": 5}, "id is not a text"),
        ({"id": "a/b"}, "id is not good: 'a/b'"),
        ({"id": "x" * 101}, "id is not good"),
        ({"to": "x"}, "to is not good: 'x'"),
        ({"to": "x@customer.test\nBcc: y@customer.test"}, "to is not good"),
        ({"to": "x@customer.test\n"}, "to is not good"),
        ({"to": "é@customer.test"}, "to is not good"),
        ({"to": f"x@{'a' * 250}.test"}, "to is not good"),
        ({"from": "Insync"}, "from is not good"),
        ({"from": "I\nX: y <noreply@insynchq.com>"}, "from has a line break"),
        ({"subject": "S\r\nBcc: y@customer.test"}, "subject has a line break"),
        ({"text": ["T"]}, "text is not a text"),
        ({"text": "\ud800"}, "text is not Unicode"),
    ],
)
def test_what_is_no_mail_is_refused_with_the_reason(change, why):
    with pytest.raises(mail.Malformed, match=why):
        mail.parse(json.dumps({**MAIL, **change}).encode())


@pytest.mark.parametrize("body", [b"", b"nope", b"[]", b"null", b"\xff", b"[" * 30000, b'{"a": 1'])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(mail.Malformed, match="not "):
        mail.parse(body)


def test_systemd_is_told_what_it_waits_for(monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
    # Without systemd, and after it is gone.
    notify.notify("WATCHDOG=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.notify("WATCHDOG=1")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert notify.watchdog_seconds() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_seconds() == 0


def worker(monkeypatch, pages=None):
    """A Worker that needs nothing, and answers somewhere."""
    from insync_core import _build
    from insync_core.worker import Worker

    monkeypatch.setenv("PORT", "0")
    conf = types.SimpleNamespace(check=lambda: "ok", current=lambda: types.SimpleNamespace(rev=1))
    return Worker("insync-test", _build, {}, conf, {"done": 1}, pages)


def test_a_worker_answers_pages_of_its_own_and_says_what_it_lacks(monkeypatch):
    def missing():
        raise Unavailable("mysql", "gone")

    made = worker(monkeypatch, {"/outbox": lambda: {"waiting": 1}, "/broken": missing})
    assert made.answer("/outbox", {}) == (200, {"waiting": 1})
    assert made.answer("/broken", {}) == (503, {"error": "mysql: gone", "missing": "mysql"})
    assert made.answer("/stats", {}) == (200, {"done": 1})
    assert made.answer("/other", {})[0] == 404


def test_a_worker_does_its_steps_beside_each_other_and_one_that_fails_stops_no_other(monkeypatch):
    made, done = worker(monkeypatch), {"first": 0, "other": 0}

    def first(stop):
        done["first"] += 1
        if done["first"] > 3 and done["other"] > 0:
            stop.set()
        stop.wait(0.01)

    def other(stop):
        done["other"] += 1
        raise Unavailable("beanstalkd", "gone")

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        made.run(first, other)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert done["first"] > 3 and done["other"] == 1
