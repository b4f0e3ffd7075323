"""Which version is current: the declared one, one that was set since, and which were before."""

import json

import insync_lock
import insync_verb
import insync_version
import insync_versions
import pytest

OLD, NEW, NEWER = "3.9.6.60027", "3.9.7.60031", "3.9.8.60040"


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_verb, "RECORDS", tmp_path)
    monkeypatch.setattr(insync_verb, "LOCKS", tmp_path)
    (tmp_path / "versions").mkdir()


def kept(mac, test=False):
    return insync_versions.kept({"mac": mac}, "insync_conf.loaded web", "the highstate", "ct1", test)["mac"]


def put(mac, version):
    insync_versions.Versions({"mac": mac}).record("mac", version, "alice")


def history(tmp_path):
    lines = (tmp_path / "versions" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [(one["old"], one["new"], one["how"], one["by"]) for one in map(json.loads, lines)]


def test_the_highstate_keeps_what_was_set_until_another_is_declared(tmp_path):
    assert kept(OLD) == OLD
    put(OLD, NEW)
    assert (kept(OLD), kept(OLD)) == (NEW, NEW), "what was set is not undone"
    assert kept(NEWER) == NEWER, "what is declared later wins"
    assert kept(OLD) == OLD, "and what was set before that never comes back"
    put(OLD, NEWER)
    assert kept(NEWER) == NEWER
    assert kept(OLD) == OLD, "declaring what was set is declaring too"
    declared = [(old, new, "declared", "the highstate") for old, new in ((None, OLD), (NEW, NEWER), (NEWER, OLD))]
    assert history(tmp_path)[:3] == declared


def test_a_second_run_and_test_mode_record_nothing(tmp_path):
    assert kept(OLD, test=True) == OLD
    assert list((tmp_path / "versions").iterdir()) == []
    kept(OLD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "versions").iterdir()}
    assert (kept(OLD), kept(NEW, test=True)) == (OLD, NEW)
    assert {path.name: path.read_bytes() for path in (tmp_path / "versions").iterdir()} == before


def test_nothing_takes_over_while_somebody_sets_a_version():
    put(OLD, NEW)
    with insync_verb.run("versions", "insync.set_current_version mac 3", "alice", "ct1"):
        assert kept(OLD) == NEW
        with pytest.raises(insync_lock.Held, match="insync.set_current_version mac 3 is running, by alice"):
            kept(NEWER)


def changes(*told):
    return [insync_versions.change("mac", *one) for one in told]


@pytest.mark.parametrize(
    "told, current, former",
    [
        ([], "1", []),
        ([(None, "1", "declared")], "1", []),
        ([("1", "2", "set")], "2", ["1"]),
        ([("1", "2", "set"), ("2", "3", "set")], "3", ["1", "2"]),
        ([("1", "2", "set"), ("2", "3", "set"), ("3", "2", "rollback")], "2", ["1"]),
        ([("1", "2", "set"), ("2", "1", "rollback")], "1", []),
        ([("1", "2", "set"), ("2", "1", "rollback"), ("1", "3", "set")], "3", ["1"]),
        ([("1", "2", "set"), ("2", "2", "declared")], "2", ["1"]),
        # A declared one took over unseen, and one whose record is lost is current.
        ([("1", "2", "set"), ("3", "4", "set")], "5", ["1", "2", "3", "4"]),
        ([("2", "1", "rollback")], "1", []),
    ],
)
def test_a_rollback_leads_further_back_each_time(told, current, former):
    assert insync_versions.former(changes(*told), current) == former


def test_only_what_came_to_be_counts(tmp_path):
    done = insync_versions.change("mac", OLD, NEW, "set")
    lines = [{"end": "clients are not told it", **done}, {"end": "ok"}, {"end": "ok", **done, "platform": "windows"}]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, {"end": "ok", **done}]) + '{"end": "o'
    (tmp_path / "versions" / "history.jsonl").write_text(text)
    put(OLD, NEW)
    assert insync_versions.Versions({"mac": OLD}).former("mac") == [OLD]


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(insync_version.VersionError, match="current_versions.declared.mac: 3.1: is no version"):
        insync_versions.Versions({"mac": 3.1})
    (tmp_path / "versions" / "current.json").write_text("{")
    with pytest.raises(insync_version.VersionError, match="versions/current.json: is no JSON"):
        kept(OLD)
