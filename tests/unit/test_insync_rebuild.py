"""How a lost server comes back: the order of the steps, what is refused, and how a run that was cut off goes on."""

import insync_db_pair
import insync_jobs
import insync_journal
import insync_rebuild
import pytest
from insync_rebuild import Failed, Refused

CHECKS = ["insync.ports", "insync.health 60"]


class Server:
    """A server that answers what it was told to, and keeps what it is asked."""

    def __init__(self):
        self.told, self.up, self.wrong = [], False, {}
        # What each highstate changes; what there is of backups; what listens otherwise than declared.
        self.changes = [["one", "two"], ["two"], []]
        self.backups = {"wiki": [{"id": "a1"}], "certificates": [{"id": "b2"}]}
        self.ports = {"declared": ["tcp/22"], "missing": [], "undeclared": []}

    def answers(self):
        return self.up

    def reach(self):
        if "reach" in self.wrong:
            raise Refused(self.wrong["reach"])
        self.told.append("reach")

    def enrol(self):
        self.told.append("enrol")
        self.up = True

    def rejoin(self):
        self.told.append("rejoin")

    def call(self, servers, function, **keywords):
        assert servers == ["wiki"]
        self.told.append(" ".join([function, *map(str, keywords.values())]))
        if function in self.wrong:
            raise insync_jobs.JobError(function, {"wiki": self.wrong[function]}, {})
        if function == "insync_states.apply":
            return {"wiki": self.changes.pop(0)}
        if function == "insync.backup_restore":
            backup = self.backups[keywords["kind"]][0]["id"]
            return {"wiki": {"backup": backup, "age_hours": 3.0, "targets": ["/a"], "aside": {"/a": "/a.before_x"}}}
        return {"wiki": {"bucket": "s3:x", "data": self.backups} if function == "insync.backups" else self.ports}


@pytest.fixture
def server():
    return Server()


def rebuild(server, tmp_path, has_data=True, pair=None):
    journal = insync_journal.Journal(tmp_path, "salt-run insync.rebuild wiki", "alice", ["wiki"])
    return insync_rebuild.Rebuild("wiki", server, journal, server, has_data, pair, server.rejoin)


def test_a_lost_server_comes_back_step_by_step(server, tmp_path):
    run = rebuild(server, tmp_path)
    told = {"age_hours": 3.0, "aside": {"/a": "/a.before_x"}}
    run.check(again=False)
    assert run.run(again=False) == {
        "server": "wiki",
        "changed": 3,
        "restored": {"wiki": {**told, "backup": "a1"}, "certificates": {**told, "backup": "b2"}},
    }
    assert server.told == [
        "reach",
        "enrol",
        "insync_states.apply",
        "insync.backups 1",
        "insync.backup_restore wiki True False",
        "insync.backup_restore certificates True False",
        "insync_states.apply",
        "insync_states.apply",
        *CHECKS,
    ]
    assert list(run.journal.record["phases"]) == [
        "look",
        "minion",
        "highstate",
        "look for backups",
        "restore wiki",
        "restore certificates",
        "highstate again",
        "check",
    ]


def test_a_server_without_data_looks_for_none(server, tmp_path):
    server.changes = [["one"], []]
    done = rebuild(server, tmp_path, has_data=False).run(again=False)
    assert done["restored"] == {} and not any("backup" in one for one in server.told)


def test_a_server_that_answers_is_not_lost(server, tmp_path):
    server.up = True
    with pytest.raises(Refused, match="wiki answers: it is not lost.*Nothing was done"):
        rebuild(server, tmp_path).check(again=False)
    assert server.told == []


def test_one_that_cannot_be_entered_is_refused(server, tmp_path):
    server.wrong["reach"] = "no ssh host key of 10.1.2.3"
    with pytest.raises(Refused, match="no ssh host key"):
        rebuild(server, tmp_path).check(again=False)


def test_what_was_cut_off_goes_on_without_making_a_minion_again(server, tmp_path):
    server.up, run = True, rebuild(server, tmp_path)
    run.check(again=True)
    run.run(again=True)
    assert "enrol" not in server.told and "reach" not in server.told and server.told[0] == "insync_states.apply"
    assert run.steps(again=True) == ["highstate", "restore of its data", "highstate again", "check"]
    assert run.steps(again=False)[0] == "minion"


def test_the_declared_primary_of_a_database_is_refused(server, tmp_path):
    pair = insync_db_pair.Pair("production", "wiki", ("other",), (), (), (), ())
    with pytest.raises(Refused, match="'salt-run insync.failover_db other' first; nothing was done"):
        rebuild(server, tmp_path, pair=pair).check(again=False)


def test_a_primary_that_was_lost_follows_the_present_one(server, tmp_path):
    pair = insync_db_pair.Pair("production", "db2", ("wiki",), (), (), (), ("wiki",))
    server.changes = [["one"], []]
    rebuild(server, tmp_path, has_data=False, pair=pair).run(again=False)
    assert server.told == ["enrol", "insync_states.apply", "rejoin", "insync_states.apply", *CHECKS]
    server.told, server.changes = [], [["one"], []]
    pair = insync_db_pair.Pair("production", "db2", ("wiki",), (), (), (), ())
    rebuild(server, tmp_path, has_data=False, pair=pair).run(again=False)
    assert "rejoin" not in server.told


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("insync_states.apply", "highstate: wiki-config: no space; 'salt-run insync.rebuild wiki' again goes on"),
        ("insync.backups", "look for backups: the bucket refuses it; 'salt-run insync.rebuild wiki' again goes on"),
        ("insync.backup_restore", "restore wiki: wrong password; 'salt-run insync.rebuild wiki' again goes on"),
    ],
)
def test_what_goes_wrong_is_told_with_its_step(server, tmp_path, wrong, said):
    server.wrong[wrong] = said.split(": ", 1)[1].rpartition(";")[0]
    with pytest.raises(Failed) as told:
        rebuild(server, tmp_path).run(again=False)
    assert str(told.value) == said


def test_data_without_a_backup_is_told_and_nothing_is_called_restored(server, tmp_path):
    server.backups["wiki"] = []
    with pytest.raises(Failed, match="there is no backup of wiki. The server runs, without this data"):
        rebuild(server, tmp_path).run(again=False)
    assert not any("backup_restore" in one for one in server.told)


def test_a_highstate_that_never_ends_to_change_something_is_no_success(server, tmp_path):
    server.changes = [["one"]] * 9
    with pytest.raises(Failed, match="highstate again: one changed something in 3 runs"):
        rebuild(server, tmp_path).run(again=False)


@pytest.mark.parametrize("key", ["missing", "undeclared"])
def test_a_port_that_is_not_as_declared_is_told(server, tmp_path, key):
    server.ports[key] = ["tcp/443"]
    with pytest.raises(Failed, match=f"check: {key}: tcp/443"):
        rebuild(server, tmp_path).run(again=False)
