"""The load balancer's module against the real haproxy, with clients that keep their connections and never ask twice."""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import threading
import time

import pytest
import salt.loader
from salt.exceptions import CommandExecutionError, SaltInvocationError

from lab.compile import compile_host
from lab.paths import ROOT
from tests.functional.haproxy import NAME, STATES, load_balancer, program
from tests.functional.private import command, private_world, read_only

LB = "web-lb02"
OTHER = "web02"
MAP = pathlib.Path("/etc/haproxy/active.map")
RECORD = pathlib.Path("/var/lib/insync/lb/maintenance.json")
KEEP = ROOT / "salt" / "haproxy" / "files" / "keep-maintenance"
SOCAT = """#!/usr/bin/env python3
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[-1])
    connection.sendall(sys.stdin.buffer.read())
    connection.shutdown(socket.SHUT_WR)
    sys.stdout.buffer.write(b"".join(iter(lambda: connection.recv(65536), b"")))
"""

Reply = collections.namedtuple("Reply", "sent arrived status slot host")


@pytest.fixture(scope="module")
def side(site):
    """What the load balancer's server compiles to."""
    program()  # from the network, which a private world has not
    return compile_host(ROOT, site, LB)


@pytest.fixture
def lb(opts, side):
    """Call a function of the module: ``lb("flip", "web", "green", "blue", test=True)``."""
    opts["pillar"] = side["pillar"]
    modules = salt.loader.minion_mods(opts)

    def _lb(function, *arguments, **named):
        return modules[f"lb.{function}"](*arguments, **named)

    return _lb


class Clients:
    """Clients of the site, each a thread with a connection that it keeps; every reply and every failure is kept."""

    def __init__(self, balancer, count=6, path="/"):
        self.balancer, self.path, self.replies, self.failures = balancer, path, [], []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        client = Client(self.balancer)
        while not self._ended.is_set():
            try:
                client = Client(self.balancer) if client.last else client
                self.replies.append(client.ask(self.path))
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(repr(exc))
                client = Client(self.balancer)
            time.sleep(0.01)

    def all_well(self):
        """Assert that every request was answered with 200, and that there were many."""
        assert self.failures == []
        assert {reply.status for reply in self.replies} == {200}
        assert len(self.replies) > 100

    def stale(self, slot):
        """The replies of other slots to what was sent when the first of ``slot`` was there."""
        first = min(reply.arrived for reply in self.replies if reply.slot == slot)
        return [reply for reply in self.replies if reply.slot != slot and reply.sent > first]


class Client:
    """One client of the site, and its connection."""

    def __init__(self, balancer):
        self._ports = {
            str(endpoint["port"]): name.rpartition("-")[2] for name, endpoint in balancer.context["endpoints"].items()
        }
        self._hosts = {peer["private"]: host for host, peer in balancer.context["peers"].items()}
        self._connection = http.client.HTTPConnection(*balancer.listen["https"], timeout=20)
        plain = socket.create_connection(balancer.listen["https"], 20)
        self._connection.sock = ssl._create_unverified_context().wrap_socket(plain, server_hostname=NAME)
        self._connection.auto_open, self.last = 0, False

    def ask(self, path="/"):
        """Return the Reply; raises OSError or HTTPException where there is none. It never connects anew."""
        sent = time.monotonic()
        self._connection.request("GET", path, headers={"Host": NAME})
        response = self._connection.getresponse()
        text, arrived = response.read(), time.monotonic()
        address, _, port = json.loads(text)["slot"].partition(":") if response.status == 200 else ("", "", "")
        self.last = response.will_close
        return Reply(sent, arrived, response.status, self._ports.get(port), self._hosts.get(address))


@contextlib.contextmanager
def later(function, *arguments, **named):
    """Run ``function`` beside the body; yield its future."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(function, *arguments, **named)
        time.sleep(0.3)
        yield future


def here(balancer, pool="web"):
    """What would change: the map in haproxy and on the disk, the states of its servers, and the record."""
    states = {name: balancer.status(f"b_{pool}_blue", name).split()[0] for name in (LB, OTHER)}
    entries = {" ".join(line.split()[1:]) for line in balancer.say(f"show map {MAP}").splitlines() if line}
    return entries, MAP.read_text(), states, RECORD.exists() and RECORD.read_text()


@private_world
def test_status_tells_what_is_asked_and_how_it_is(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "license-blue", "license-green")
        for server in (LB, OTHER):
            balancer.wait("web-green", server, "DOWN")
        found = lb("status")
        assert set(found) == {"web", "license"} == set(side["pillar"]["haproxy"]["pools"])
        assert (
            lb("status", "web")
            == {"web": found["web"]}
            == {
                "web": {
                    "active": "blue",
                    "file": "blue",
                    "slots": {"blue": {LB: "UP", OTHER: "UP"}, "green": {LB: "DOWN", OTHER: "DOWN"}},
                    "in_flight": {"blue": 0, "green": 0},
                    "maintenance": {},
                }
            }
        )
        assert lb("unserved") == {}
        with later(Client(balancer).ask, "/slow/1"):
            assert lb("status", "web")["web"]["in_flight"] == {"blue": 1, "green": 0}
        balancer.say(f"set map {MAP} web green")
        found = lb("status", "web")["web"]
        assert (found["active"], found["file"]) == ("green", "blue")
        why = f"green is asked, and of its servers none is up ({LB} DOWN, {OTHER} DOWN)"
        assert lb("unserved") == {"web": why}


@private_world
def test_what_is_not_known_is_refused_with_what_is_near(side, lb, opts):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        before = here(balancer)
        refused = {
            ("status", "wbe"): "wbe: no pool of this load balancer; did you mean 'web'?",
            ("flip", "licence", "green", "blue"): "did you mean 'license'?",
            ("flip", "web", "red", "blue"): "web has no slot 'red'; its slots are blue, green",
            ("wait_idle", "web", "gren"): "web has no slot 'gren'",
            ("drain", "web2"): "web2: no server of this load balancer; did you mean 'web02'?",
            ("undrain", "license1"): "did you mean 'license01'?",
        }
        for arguments, words in refused.items():
            with pytest.raises(SaltInvocationError) as caught:
                lb(*arguments)
            assert words in str(caught.value)
        assert here(balancer) == before
    assert "lb.status" not in salt.loader.minion_mods({**opts, "pillar": {}})


@private_world
def test_without_haproxy_one_sentence_says_so(side, lb):
    with load_balancer(side):
        pass
    for arguments in (("status",), ("flip", "web", "green", "blue"), ("drain", OTHER)):
        with pytest.raises(CommandExecutionError, match="HAProxy does not answer at /run/haproxy/admin.sock") as caught:
            lb(*arguments)
        assert "\n" not in str(caught.value)


@private_world
def test_a_flip_loses_no_request_and_no_reply_is_late(side, lb):
    took = []
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green", "license-blue")
        for old, new in (("blue", "green"), ("green", "blue"), ("blue", "green")):
            with Clients(balancer) as clients:
                done = lb("flip", "web", new, old)
            clients.all_well()
            assert clients.stale(new) == []
            assert {reply.slot for reply in clients.replies} == {old, new}
            assert done["changes"] == {"web": {"old": old, "new": new}}
            assert MAP.read_text().splitlines() == ["license blue", f"web {new}"]
            took.append(done["milliseconds"])
            assert lb("flip", "web", new, new)["changes"] == {}
        assert lb("status", "license")["license"]["active"] == "blue"
    print(f"flips took {took} ms")


@private_world
def test_a_flip_is_refused_unless_all_is_as_expected(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        ill = balancer.slots["web-green", OTHER]
        before = here(balancer)
        assert lb("flip", "web", "green", "blue", test=True)["changes"] == {"web": {"old": "blue", "new": "green"}}
        with pytest.raises(CommandExecutionError, match="web: blue is asked, not green as expected"):
            lb("flip", "web", "blue", "green")
        ill.ready = False
        balancer.wait("web-green", OTHER, "DOWN")
        with pytest.raises(CommandExecutionError, match=f"web@green: {OTHER} is DOWN$"):
            lb("flip", "web", "green", "blue", wait=0.3)
        assert here(balancer) == before
        with later(lb, "flip", "web", "green", "blue") as flipped:
            ill.ready = True
        assert flipped.result()["changes"], "it waits for a server that is about to come"
        lb("drain", OTHER)
        with pytest.raises(CommandExecutionError, match=f"web@blue: {OTHER} is DRAIN$"):
            lb("flip", "web", "blue", "green", wait=0.3)


@private_world
def test_a_flip_that_cannot_be_recorded_is_none(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        before = here(balancer)
        read_only("/etc")
        with pytest.raises(CommandExecutionError, match="/etc/haproxy/active.map"):
            lb("flip", "web", "green", "blue")
        assert here(balancer) == before
        assert Client(balancer).ask().slot == "blue"


@private_world
def test_a_flip_to_what_is_asked_mends_the_file(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        MAP.write_text("# kept\nlicense blue\nweb green\n")
        MAP.chmod(0o640)
        assert lb("flip", "web", "blue", "blue")["changes"] == {"web": {"old": "green", "new": "blue"}}
        assert (MAP.read_text(), MAP.stat().st_mode & 0o777) == ("# kept\nlicense blue\nweb blue\n", 0o640)
        assert lb("flip", "web", "blue", "blue")["changes"] == {}
        balancer.say(f"del map {MAP} web")
        assert lb("flip", "web", "green", "blue")["changes"], "a key that haproxy has not is added"
        assert lb("status", "web")["web"]["active"] == "green"


@private_world
def test_of_two_flips_at_once_one_is_refused(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        lb("status")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for old, new in (("blue", "green"), ("green", "blue")) * 4:
                errors = [one.exception() for one in [pool.submit(lb, "flip", "web", new, old) for _ in range(2)]]
                refused = [error for error in errors if error]
                assert len(refused) == 1 and f"{new} is asked, not {old}" in str(refused[0]), errors
                assert lb("status", "web")["web"]["active"] == lb("status", "web")["web"]["file"] == new


@private_world
def test_the_old_slot_is_waited_for(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        with pytest.raises(CommandExecutionError, match="web@blue is asked"):
            lb("wait_idle", "web", "blue")
        with later(Client(balancer).ask, "/slow/2") as slow:
            lb("flip", "web", "green", "blue")
            waited = lb("wait_idle", "web", "blue", timeout=0)
            assert (waited["waited_for"], waited["left"]) == (1, 1)
            waited = lb("wait_idle", "web", "blue")
            assert slow.done() and 0.5 < waited["seconds"] < 3
            assert (waited["waited_for"], waited["left"]) == (1, 0)
        assert (slow.result().status, slow.result().slot) == (200, "blue")
        MAP.write_text("web blue\n")
        with pytest.raises(CommandExecutionError, match="web@blue is asked"):
            lb("wait_idle", "web", "blue")


@private_world
def test_a_server_is_taken_out_and_in_and_no_request_is_lost(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "license-blue")
        before = here(balancer)
        changes = {OTHER: {"old": "in service", "new": "in maintenance"}}
        assert lb("drain", OTHER, test=True)["changes"] == changes
        assert here(balancer) == before
        slow = [Client(balancer) for _ in range(4)]
        with Clients(balancer) as clients, concurrent.futures.ThreadPoolExecutor(4) as pool:
            running = [pool.submit(client.ask, "/slow/1.5") for client in slow]
            time.sleep(0.3)
            done = lb("drain", OTHER, by="alice")
            ended = time.monotonic()
            assert done["changes"] == changes
            assert done["waited_for"] >= 2 and done["left"] == 0 and done["seconds"] > 0.5
            assert {one.result().status for one in running} == {200}
            assert OTHER in {one.result().host for one in running}
            again = lb("drain", OTHER, by="bob")
            assert (again["changes"], again["left"]) == ({}, 0)
            kept = lb("status", "web")["web"]["maintenance"]
            assert kept[OTHER]["by"] == "alice" and set(kept) == {OTHER}
            assert lb("status", "license")["license"]["maintenance"] == {}
            with pytest.raises(CommandExecutionError, match=f"{LB} is the last server of web that is UP"):
                lb("drain", LB)
            assert lb("undrain", OTHER, test=True)["changes"] == lb("undrain", OTHER)["changes"] != {}
            back = time.monotonic()
        clients.all_well()
        assert {reply.host for reply in clients.replies if ended < reply.sent and reply.arrived < back - 1.5} <= {LB}
        assert OTHER in {reply.host for reply in clients.replies if reply.sent > back}
        assert lb("undrain", OTHER)["changes"] == {}
        assert here(balancer)[2] == before[2]


@private_world
def test_a_server_that_is_not_well_gets_no_request_when_it_is_let_in(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        ill = balancer.slots["web-blue", OTHER]
        lb("drain", OTHER)
        balancer.say(f"set server b_web_blue/{OTHER} state maint")  # as after a start of haproxy
        ill.ready, ill.asked = False, []
        with Clients(balancer) as clients:
            with pytest.raises(CommandExecutionError, match=f"web@blue: {OTHER} is DOWN"):
                lb("undrain", OTHER, timeout=2)
        clients.all_well()
        assert ill.asked == []
        assert lb("status", "web")["web"]["maintenance"] == {}
        ill.ready = True
        balancer.wait("web-blue", OTHER, "UP")


@private_world
def test_what_was_undone_by_hand_is_done_again(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        lb("drain", OTHER, by="alice")
        balancer.say(f"set server b_web_blue/{OTHER} state ready")
        assert lb("drain", OTHER)["changes"] == {OTHER: {"old": "in service", "new": "in maintenance"}}
        assert balancer.status("b_web_blue", OTHER) == "DRAIN"
        assert lb("status", "web")["web"]["maintenance"][OTHER]["by"] == "alice"


@private_world
def test_maintenance_outlives_a_reload_and_a_start(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "license-blue")
        lb("drain", OTHER)
        balancer.reload()
        assert balancer.status("b_web_blue", OTHER) == "DRAIN"
        balancer.restart()
        tools = pathlib.Path("/run/tools")
        tools.mkdir()
        (tools / "socat").write_text(SOCAT)
        (tools / "socat").chmod(0o755)
        command("sh", str(KEEP), env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
        assert [balancer.status(f"b_web_{slot}", OTHER) for slot in ("blue", "green")] == ["MAINT", "MAINT"]
        # After one failed check, as of a busy machine, it is "UP 1/2".
        assert balancer.status("b_license_blue", "license01").split()[0] == "UP"
        assert lb("drain", OTHER)["changes"] == {}
        balancer.wait("web-blue", LB, "UP")
        assert lb("undrain", OTHER)["changes"] != {}
        assert balancer.status("b_web_blue", OTHER).split()[0] == "UP"
        assert json.loads(RECORD.read_text()) == {}


# After a reload, HAProxy's former process goes on with the clients that it has, and with what it knew then.


@private_world
def test_a_flip_waits_for_who_would_still_ask_the_old_slot(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        client = Client(balancer)
        assert client.ask().slot == "blue"
        balancer.reload()
        balancer.open("web-green")
        with later(lb, "flip", "web", "green", "blue") as flipped:
            time.sleep(1)
            assert not flipped.done(), "the client would be answered by blue, and others by green"
            reply = client.ask()
            assert (reply.status, reply.slot, client.last) == (200, "blue", True)
            assert flipped.result(5)["changes"]
        assert Client(balancer).ask().slot == "green"


@private_world
def test_what_a_former_process_has_in_flight_is_waited_for(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        with later(Client(balancer).ask, "/slow/3") as slow:
            lb("flip", "web", "green", "blue")
            balancer.reload()
            waited = lb("wait_idle", "web", "blue")
            assert slow.done() and (waited["waited_for"], waited["left"]) == (1, 0)
        assert (slow.result().status, slow.result().slot) == (200, "blue")


@private_world
def test_a_former_process_may_ask_a_drained_server(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        client = Client(balancer)
        client.ask()
        balancer.reload()
        drained = lb("drain", OTHER, timeout=1)
        assert (drained["waited_for"], drained["left"]) == (1, 1)
        with later(lb, "drain", OTHER) as again:
            assert not again.done()
            assert client.ask().status == 200
            assert again.result(5)["left"] == 0


@private_world
def test_flips_and_reloads_together_lose_nothing(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        with Clients(balancer) as clients:
            for old, new in (("blue", "green"), ("green", "blue")):
                balancer.reload()
                lb("flip", "web", new, old)
                balancer.reload()
                assert lb("wait_idle", "web", old)["left"] == 0
                assert lb("status", "web")["web"]["active"] == new
        clients.all_well()
        assert STATES.exists()


# Watching a new release.


@private_world
def test_a_slot_that_answers_well_is_left_alone(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        with Clients(balancer) as clients:
            lb("flip", "web", "green", "blue")
            seen = lb("watch", "web", "green", "blue", seconds=1)
        clients.all_well()
        assert seen["requests"] > 20 and seen["failed"] == 0
        assert lb("status", "web")["web"]["active"] == "green"


@private_world
def test_a_slot_that_fails_is_left_at_once(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green")
        bad = balancer.slots["web-green", OTHER]
        bad.fails = True
        with Clients(balancer) as clients:
            lb("flip", "web", "green", "blue")
            began = time.monotonic()
            with pytest.raises(CommandExecutionError, match=rf"too many requests failed: .*{OTHER} \d+ of \d+"):
                lb("watch", "web", "green", "blue", seconds=5)
            assert time.monotonic() - began < 2
        ended = {reply.slot for reply in clients.replies[-10:]}
        assert (lb("status", "web")["web"]["active"], ended) == ("blue", {"blue"})
        assert MAP.read_text().splitlines()[-1] == "web blue"
        bad.fails = False
        lb("flip", "web", "green", "blue")
        bad.ready = False
        with pytest.raises(CommandExecutionError, match=f"{OTHER} went down; blue is asked again"):
            lb("watch", "web", "green", "blue", seconds=5)
        with pytest.raises(CommandExecutionError, match="web: blue is asked, not green as expected"):
            lb("watch", "web", "green", "blue", seconds=5)


# What is only told.


@pytest.fixture
def in_step(opts, side):
    """Apply the state that looks: ``in_step(test=True)`` returns what it reports."""
    opts["pillar"] = side["pillar"]

    def _in_step(test):
        opts["test"] = test
        utils, serializers = salt.loader.utils(opts), salt.loader.serializers(opts)
        states = salt.loader.states(opts, salt.loader.minion_mods(opts, utils=utils), utils, serializers)
        return states["insync_lb.in_step"]("any", wait=0)

    return _in_step


@private_world
def test_a_map_that_was_changed_by_hand_is_told_and_left(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green", "license-blue")
        assert lb("drift", wait=0) == []
        balancer.say(f"set map {MAP} web green")
        told = f"web: green is asked, and blue would be after HAProxy's next start, says {MAP}"
        assert lb("drift", wait=0) == [told]
        assert lb("status", "web")["web"]["active"] == "green"


@private_world
def test_a_pool_that_is_mixed_is_told(side, lb):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "license-blue")
        balancer.slots["web-blue", OTHER].release = "r2"
        assert lb("drift", wait=0) == [f"web is mixed: {LB} r1, {OTHER} r2"]
        balancer.slots["web-blue", OTHER].stop()
        balancer.wait("web-blue", OTHER, "DOWN")
        assert lb("drift", wait=0) == []


@private_world
def test_the_highstate_fails_where_it_drifts_and_mends_nothing(side, in_step, testmode):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green", "license-blue")
        before, good = MAP.read_text(), in_step(testmode)
        balancer.say(f"set map {MAP} web green")
        bad = in_step(testmode)
        assert (MAP.read_text(), " green" in balancer.say(f"show map {MAP}")) == (before, True)
        assert (good["result"], good["changes"]) == (True, {}), good
        assert (bad["result"], bad["changes"]) == (False, {}), bad
        assert "web: green is asked" in bad["comment"] and "salt-run insync.release_status" in bad["comment"]


def test_who_is_not_there_yet_fails_no_test_mode(in_step, testmode):
    found = in_step(testmode)
    assert (found["result"], found["changes"]) == (testmode, {})
    assert "HAProxy does not answer" in found["comment"]
