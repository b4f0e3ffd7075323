"""The steps of a release against a model of the pool, with a fault in every possible place."""

import contextlib
import copy
import itertools
import sys

import insync_files
import insync_jobs
import insync_journal
import insync_rollout
import pytest
from insync_release_run import Failed, Refused

from tests.unit.release_run import EXPECTED, NEW, OLD, OLDER, VERBS, Quiet

SERVERS = ["web-lb02", "web02"]


class Killed(BaseException):
    """kill -9: nothing is cleaned up any more."""


class Model:
    """What the servers and the load balancer would do; a fault hits the call with that number."""

    name = key = "web"
    servers = SERVERS

    def __init__(self):
        record = {"slot": "blue", "release": OLD, "previous": OLDER}
        self.records = {server: dict(record) for server in SERVERS}
        self.running = {server: {"blue": OLD, "green": None} for server in SERVERS}
        self.active, self.calls, self.fault, self.pins = "blue", 0, None, "insync-web==1.0.0"
        self.said, self.left, self.stops, self.out = [], 0, {}, []
        self.kept = {"slot": "blue", "release": OLD}
        self.here = {server: {OLD, OLDER} for server in SERVERS}

    def on_servers(self, function, *arguments, servers=None, **keywords):
        return self._call(function, servers or SERVERS, arguments, keywords)

    def on_balancer(self, function, *arguments, **keywords):
        return self._call(function, ["web-lb02"], arguments, keywords)["web-lb02"]

    def balancer_status(self):
        return self.on_balancer("lb.status")

    def status(self):
        return self.balancer_status(), self.on_servers("insync_slot.status")

    def lock(self, release):
        return self.on_servers("insync_slot.lock", release, servers=SERVERS[:1])[SERVERS[0]]

    def serving(self):
        return self.kept

    def remember(self, slot, release):
        self.on_servers("ct1.remember", slot, release, servers=SERVERS[:1])

    def drain(self, server, by):
        self.out.append(server)
        if isinstance(self.left, BaseException):
            raise self.left
        return {"waited_for": 4, "left": self.left}

    def undrain(self, server):
        self.out.remove(server)

    def resolve(self, pins, wanted, **source):
        return pins.replace("1.0.0", wanted["insync-web"] or "1.1.0")

    def _call(self, function, servers, arguments, keywords):
        self.calls += 1
        self.said.append(function)
        kind, server = self.fault[1:] if self.fault and self.calls >= self.fault[0] else (None, None)
        if kind not in ("killed", "gone") and self.fault and self.calls > self.fault[0]:
            kind = None
        if kind == "killed":
            if self.calls == self.fault[0] and server == "after":
                self._do_all(function, servers, arguments, keywords)
            raise Killed
        failing = {server} & set(servers) if kind in ("before", "after", "gone") else set()
        wanted = [name for name in servers if not (name in failing and kind != "after")]
        answers = self._do_all(function, wanted, arguments, keywords)
        self._hold()
        if failing:
            raise insync_jobs.JobError(
                function, dict.fromkeys(failing, "broken"), {k: v for k, v in answers.items() if k not in failing}
            )
        return answers

    def _do_all(self, function, servers, arguments, keywords):
        method = getattr(self, function.replace(".", "_"))
        return {server: method(server, *arguments, **keywords) for server in servers}

    def _hold(self):
        """At every moment one release serves, on all servers."""
        assert len({self.running[server][self.active] for server in SERVERS}) == 1
        assert self.running[SERVERS[0]][self.active]

    def insync_slot_status(self, server):
        slots = {slot: {"release": release or ""} for slot, release in self.running[server].items()}
        told = {"releases": sorted(self.here[server]), "package": "insync-web", "index": "i", "ca": "c"}
        return {**self.records[server], "slots": slots, **told}

    def insync_slot_lock(self, server, release):
        return self.pins

    def insync_slot_build(self, server, pins):
        release = NEW if "1.1.0" in pins else OLDER
        self.here[server].add(release)
        return {"release": release}

    def insync_slot_up(self, server, slot, release):
        assert slot != self.active, "the slot in service was started anew"
        assert release in self.here[server], "what is not there was started"
        self.running[server][slot] = release
        return {"pid": 1, "seconds": 1}

    def insync_slot_hold(self, server, slot, release):
        if self.running[server][slot] != release:
            raise insync_jobs.JobError("hold", {server: "not there"}, {})
        self.stops.pop(slot, None)
        return True

    def insync_slot_commit(self, server, slot, release, previous, by):
        self.records[server] = {"slot": slot, "release": release, "previous": previous}

    def insync_slot_down(self, server, slot, after=0, wait=True):
        assert slot != self.active, "the slot in service was stopped"
        self.stops[slot] = after
        self.running[server][slot] = None if not after else self.running[server][slot]

    def ct1_remember(self, server, slot, release):
        self.kept = {"slot": slot, "release": release}

    def insync_slot_restart(self, server):
        assert server in self.out, "it was asked while it was restarted"

    def lb_status(self, server):
        return {"active": self.active, "servers": dict.fromkeys(SERVERS, "UP")}

    def lb_flip(self, server, to, expect):
        assert self.active == expect
        if to == expect:
            return {"milliseconds": 0.0}
        assert all(self.running[server][to] for server in SERVERS), "flipped to a slot that is not up"
        self.active = to
        return {"milliseconds": 1.0}

    def lb_watch(self, server, slot, back, seconds):
        return {}

    def lb_wait_idle(self, server, slot):
        return {"waited_for": 3, "servers": {"web-lb02": 1, "web02": 2}, "left": self.left}


def run(model, verb, journal=None):
    return VERBS[verb](insync_rollout.Rollout(model, journal or Quiet(), "alice"))


def recorded(model):
    (found,) = {tuple(sorted(record.items())) for record in model.records.values()}
    assert model.kept == {key: dict(found)[key] for key in ("slot", "release")}, "what a new server starts with"
    return dict(found)


@pytest.mark.parametrize("verb", VERBS)
def test_the_whole_pool_moves(verb):
    model = Model()
    done = run(model, verb)
    release, previous = EXPECTED[verb]
    assert recorded(model) == {"slot": "green", "release": release, "previous": previous}
    assert model.active == "green" and model.running["web02"]["green"] == release
    assert model.running["web02"]["blue"] == (None if verb == "restart" else OLD), "what may come back runs on"
    in_flight = {"web-lb02": 1, "web02": 2} if verb == "restart" else None
    assert (done["release"], done.get("in_flight")) == (release, in_flight)
    assert done["slot"] == done["changes"]["slot"] == {"old": "blue", "new": "green"}
    assert ("release" in done["changes"]) == (verb != "restart")


def test_update_and_rollback_come_back_to_what_still_runs():
    model = Model()
    run(model, "update")
    started = model.said.count("insync_slot.up")
    run(model, "rollback")
    assert model.said.count("insync_slot.up") == started, "nothing had to be started"
    assert recorded(model) == {"slot": "blue", "release": OLD, "previous": NEW}
    run(model, "rollback")
    assert recorded(model) == {"slot": "green", "release": NEW, "previous": OLD}


def test_what_is_come_back_to_is_not_stopped_later():
    model = Model()
    run(model, "update")
    assert model.stops == {"blue": 600}
    run(model, "rollback")
    assert model.stops == {"green": 600}, "blue serves again"


def test_requests_that_do_not_end_are_not_cut():
    model = Model()
    model.left = 2
    run(model, "restart")
    assert model.running["web02"]["blue"] == OLD and model.stops == {"blue": insync_rollout.LONGEST}


def test_what_is_there_already_moves_nothing():
    model = Model()
    before = copy.deepcopy(vars(model))
    done = insync_rollout.Rollout(model, Quiet(), "alice").update(["insync-web==1.0.0"])
    assert done["changes"] == {}
    assert (model.records, model.running, model.active) == (before["records"], before["running"], before["active"])


@pytest.mark.parametrize("verb", VERBS)
def test_test_mode_tells_the_same_changes_and_touches_nothing(verb):
    model, other = Model(), Model()
    done = run(model, verb)
    told = VERBS[verb](insync_rollout.Rollout(other, Quiet(), "alice", test=True))
    assert told["changes"]["slot"] == done["changes"]["slot"]
    assert ("release" in told["changes"]) == ("release" in done["changes"])
    fresh = Model()
    assert (other.records, other.running, other.active) == (fresh.records, fresh.running, fresh.active)


FAULTS = list(itertools.product(VERBS, range(1, 18), ("before", "after"), SERVERS))


@pytest.mark.parametrize(("verb", "number", "kind", "server"), FAULTS)
def test_a_step_that_fails_anywhere_ends_with_one_release_and_the_next_run_is_good(verb, number, kind, server):
    model = Model()
    model.fault = (number, kind, server)
    try:
        run(model, verb)
        moved = True
    except (Refused, Failed) as exc:
        moved = False
        assert "broken" in str(exc)
    model.fault = None
    if moved:
        assert recorded(model)["release"] == EXPECTED[verb][0]
    else:
        assert model.active == "blue"
        assert recorded(model) == {"slot": "blue", "release": OLD, "previous": OLDER}
        assert model.running["web02"]["green"] is None and model.running["web-lb02"]["green"] is None
        run(model, verb)
        assert recorded(model)["release"] == EXPECTED[verb][0]


@pytest.mark.parametrize(("verb", "number", "server"), list(itertools.product(VERBS, range(1, 14), SERVERS)))
def test_a_server_that_is_gone_from_some_step_on_costs_nobody_the_slot_that_is_asked(verb, number, server):
    """The load balancer is on one of them: whether it was flipped back is not known then."""
    model = Model()
    model.fault = (number, "gone", server)
    with contextlib.suppress(Refused, Failed):
        run(model, verb)
    model._hold()
    model.fault = None
    release = model.running["web02"][model.active]
    run(model, "restart")
    assert recorded(model)["release"] == release


def test_a_server_that_was_made_anew_comes_back_with_the_others():
    model = Model()
    model.records["web-lb02"]["previous"] = None
    model.here["web-lb02"] = {OLD}
    assert run(model, "rollback")["release"] == OLDER
    assert recorded(model) == {"slot": "green", "release": OLDER, "previous": OLD}
    model = Model()
    for record in model.records.values():
        record["previous"] = None
    model.kept["former"] = {"release": OLDER, "lock": ""}
    run(model, "restart")
    assert recorded(model)["previous"] == OLDER, "ct1 knows it too"


def test_what_ct1_has_not_recorded_is_recorded_by_the_next_run():
    model = Model()
    model.kept = {"slot": "green", "release": OLDER}
    model.records["web02"]["previous"] = model.records["web-lb02"]["previous"] = None
    with pytest.raises(Refused, match="no release to come back to"):
        run(model, "rollback")
    assert model.kept == {"slot": "blue", "release": OLD}


@pytest.mark.parametrize("words", [BrokenPipeError(), OSError(28, "No space left on device", "journal.json.new")])
@pytest.mark.parametrize("verb", VERBS)
def test_a_journal_that_cannot_be_kept_on_leaves_no_release_half_way(verb, words, tmp_path, monkeypatch):
    model, writes = Model(), []
    written = insync_files.replace

    def replace(path, text):
        writes.append(path)
        if len(writes) > 1:
            raise words
        written(path, text)

    class Gone:
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr(insync_files, "replace", replace)
    monkeypatch.setattr(sys, "stderr", Gone())
    journal = insync_journal.Journal(tmp_path, verb, "alice", SERVERS)
    VERBS[verb](insync_rollout.Rollout(model, journal, "alice"))
    assert recorded(model)["release"] == EXPECTED[verb][0]
    assert "unrecorded" in journal.end("ok")


def test_what_cannot_be_recorded_from_the_beginning_is_not_begun(tmp_path):
    model = Model()
    with pytest.raises(OSError):
        run(model, "restart", insync_journal.Journal(tmp_path / "gone", "restart", "alice", SERVERS))
    assert model.calls == 0


def test_some_servers_are_restarted_one_after_the_other_and_put_in_again():
    model = Model()
    done = insync_rollout.Rollout(model, Quiet(), "alice").restart_some(["web02"])
    assert done["changes"] == {"restarted": ["web02"]} and done["in_flight"] == {"web02": 4}
    assert done["slot"] == {"old": "blue", "new": "blue"} and model.out == []
    for left, told in ((1, "1 requests do not end on web02"), (KeyboardInterrupt("ctrl-c"), "ctrl-c")):
        model = Model()
        model.left = left
        with pytest.raises((Failed, KeyboardInterrupt), match=told):
            insync_rollout.Rollout(model, Quiet(), "alice").restart_some(["web02"])
        assert model.out == [] and "insync_slot.restart" not in model.said


@pytest.mark.parametrize(("verb", "number", "when"), list(itertools.product(VERBS, range(1, 18), ("before", "after"))))
def test_a_run_that_is_killed_anywhere_is_ended_by_the_next(verb, number, when):
    model = Model()
    model.fault = (number, "killed", when)
    with contextlib.suppress(Killed):
        run(model, verb)
    model.fault = None
    model._hold()
    release = model.running["web02"][model.active]
    run(model, "restart")
    assert recorded(model)["release"] == release, "it is recorded now as it serves"
    assert recorded(model)["previous"] in ({OLDER} if release == OLD else {OLD})
    model._hold()


def test_a_pool_that_is_not_well_is_left_alone():
    model = Model()
    model.running["web02"]["blue"] = "another"
    model._hold = lambda: None
    with pytest.raises(Refused, match="web is mixed: web-lb02 old, web02 another"):
        run(model, "restart")
    model = Model()
    model.lb_status = lambda server: {"active": "blue", "servers": {"web-lb02": "UP", "web02": "DOWN"}}
    with pytest.raises(Refused, match="not all of web serves: web02 DOWN"):
        run(model, "restart")
    model = Model()
    for record in model.records.values():
        record["previous"] = None
    with pytest.raises(Refused, match="web has no release to come back to"):
        run(model, "rollback")
    with pytest.raises(Refused, match="insync-wbe: not a package"):
        insync_rollout.Rollout(model, Quiet(), "alice").update(["insync-wbe"])
    assert recorded(model)["slot"] == "blue"


def test_test_mode_does_not_say_that_it_records_what_a_killed_run_left():
    model, said = Model(), []
    model.active, model.running = "green", {server: {"blue": OLD, "green": NEW} for server in SERVERS}
    model.here = {server: {OLD, NEW} for server in SERVERS}
    journal = Quiet()
    journal.say = said.append
    insync_rollout.Rollout(model, journal, "alice", test=True).restart()
    assert (said, "insync_slot.commit" in model.said) == ([], False)
    run(model, "restart", journal)
    assert "web-lb02, web02 is recorded now as it serves" in said[0]
