"""The steps of a release of what has one slot, against a model of its servers, with a fault in every place."""

import itertools

import insync_jobs
import insync_rolling
import pytest
from insync_release_run import Failed, Refused

from tests.unit.release_run import EXPECTED, NEW, OLD, OLDER, VERBS, Quiet

SERVERS = ["one", "two", "three"]


class Model:
    """What the servers would do; a fault hits the call with that number on one server."""

    name = key = "mailer"
    servers = SERVERS

    def __init__(self, fault=None):
        self.runs = {server: (OLD, OLDER) for server in SERVERS}
        self.calls, self.fault, self.recorded, self.said, self.here = 0, fault, None, [], {}

    def on_servers(self, function, *arguments, servers=None, **keywords):
        self.calls += 1
        self.said.append(function)
        wanted = servers or SERVERS
        broken = [server for server in wanted if self.fault == (self.calls, server)]
        method = getattr(self, function.rpartition(".")[2])
        answers = {server: method(server, *arguments, **keywords) for server in wanted if server not in broken}
        if broken:
            raise insync_jobs.JobError(function, dict.fromkeys(broken, "broken"), answers)
        return answers

    def servers_status(self):
        return self.on_servers("insync_slot.status")

    def status(self, server):
        release, previous = self.runs[server]
        releases = self.here.get(server, [OLD, NEW, OLDER])
        return {"release": release, "previous": previous, "releases": releases, "package": "p", "index": "i", "ca": "c"}

    def build(self, server, pins):
        return {"release": NEW}

    def swap(self, server, release, previous, by):
        self.runs[server] = (release, previous)

    def lock(self, release):
        return "insync-mailer==1.0.0"

    def resolve(self, pins, wanted, **source):
        return pins.replace("1.0.0", wanted["insync-mailer"])

    def serving(self):
        return {"slot": "main", "release": self.recorded} if self.recorded else {}

    def remember(self, slot, release):
        self.recorded = release


def run(model, verb, test=False):
    return VERBS[verb](insync_rolling.Rolling(model, Quiet(), "alice", test=test))


@pytest.mark.parametrize("verb", VERBS)
def test_all_servers_move_one_after_the_other(verb):
    model = Model()
    done = run(model, verb)
    assert model.runs == dict.fromkeys(SERVERS, EXPECTED[verb])
    assert (done["release"], model.recorded) == (EXPECTED[verb][0], EXPECTED[verb][0])
    assert model.said.count("insync_slot.swap") == len(SERVERS)
    assert ("restarted" in done["changes"]) == (verb == "restart")


@pytest.mark.parametrize("verb", VERBS)
def test_test_mode_touches_nothing(verb):
    model = Model()
    assert set(run(model, verb, test=True)["changes"]) == set(run(Model(), verb)["changes"])
    assert (model.runs, model.recorded) == (dict.fromkeys(SERVERS, (OLD, OLDER)), None)
    assert not {"insync_slot.swap", "insync_slot.build"} & set(model.said)


@pytest.mark.parametrize(("verb", "number", "server"), list(itertools.product(VERBS, range(1, 7), SERVERS)))
def test_a_step_that_fails_anywhere_leaves_one_release(verb, number, server):
    model = Model((number, server))
    try:
        run(model, verb)
        release = EXPECTED[verb]
    except (Refused, Failed) as exc:
        assert f"{server}: broken" in str(exc)
        release = (OLD, OLDER)
    assert model.runs == dict.fromkeys(SERVERS, release)


def test_a_run_that_was_killed_between_two_servers_is_put_back_by_the_next():
    model = Model()
    run(model, "restart")
    model.runs["one"] = (NEW, OLD)
    run(model, "restart")
    assert model.runs == dict.fromkeys(SERVERS, (OLD, OLDER))


def test_what_is_there_already_is_not_restarted():
    model = Model()
    done = insync_rolling.Rolling(model, Quiet(), "alice").update(["insync-mailer==1.0.0"])
    assert done["changes"] == {} and "insync_slot.swap" not in model.said


def test_what_cannot_be_is_refused():
    model = Model()
    with pytest.raises(Refused, match="insync-maler: not a package"):
        insync_rolling.Rolling(model, Quiet(), "alice").update(["insync-maler"])
    model.runs["two"] = (NEW, OLD)
    with pytest.raises(Refused, match="mailer is mixed: one old, two new, three old"):
        run(model, "restart")
    model.runs = dict.fromkeys(SERVERS, (OLD, None))
    with pytest.raises(Refused, match="mailer has no release to come back to"):
        run(model, "rollback")
