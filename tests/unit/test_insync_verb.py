"""What is around a verb: one at a time, and a record of it, however it ends."""

import json

import insync_lock
import insync_verb
import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_verb, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(insync_verb, "LOCKS", tmp_path / "locks")


def run(test=False):
    return insync_verb.run("conf", "insync.conf_load web", "alice", "ct1", test)


def history(tmp_path):
    lines = (tmp_path / "records" / "conf" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_what_was_done_and_why_it_ended_is_kept(tmp_path):
    with run() as (journal, done), journal.phase("web"):
        done["web"] = {"revision": 7}
    with pytest.raises(ValueError), run() as (_, done):
        done["web"] = {"revision": 8}
        raise ValueError("the conf server is away")
    good, bad = history(tmp_path)
    assert (good["end"], good["web"], list(good["phases"])) == ("ok", {"revision": 7}, ["web"])
    assert (bad["end"], bad["web"]) == ("the conf server is away", {"revision": 8})
    assert {(one["verb"], one["by"], *one["hosts"]) for one in (good, bad)} == {
        ("insync.conf_load web", "alice", "ct1")
    }


def test_a_second_one_is_refused_and_told_who_is_at_it():
    message = "insync.conf_load web is running, by alice"
    with run(), pytest.raises(insync_lock.Held, match=message), run():
        pytest.fail("both are in")


def test_test_mode_leaves_nothing(tmp_path):
    with run(test=True) as (_, done):
        done["web"] = {}
    assert not (tmp_path / "records").exists()


def test_a_word_that_is_no_option_is_named():
    assert insync_verb.unknown({"test": True, "__pub_user": "alice"}, ("prune", "test")) == ""
    said = "prun=True: no option; there is prune, test"
    assert insync_verb.unknown({"prun": True}, ("prune", "test")) == said
