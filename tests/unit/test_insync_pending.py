"""What a state requires, and a run in test mode has only said that it would change."""

import insync_pending

CHUNKS = [
    {"state": "file", "__id__": "settings", "name": "/etc/forum/conf.py", "fun": "managed"},
    {"state": "file", "__id__": "folder", "name": "/var/lib/forum", "fun": "directory"},
    {"state": "pkg", "__id__": "other", "name": "other", "fun": "installed"},
    {"state": "venv", "__id__": "release", "name": "/opt/forum", "fun": "built", "require": [{"file": "settings"}]},
]
LOW = {"require": [{"venv": "release"}, {"file": "/var/lib/forum"}]}
TAGS = {chunk["__id__"]: "_|-".join((chunk["state"], chunk["__id__"], chunk["name"], chunk["fun"])) for chunk in CHUNKS}


def running(**results):
    return {TAGS[name]: {"result": result} for name, result in results.items()}


def test_what_would_be_changed_before_by_id_by_name_and_through_others():
    for name in ("settings", "folder", "release"):
        assert insync_pending.before(LOW, CHUNKS, running(**{name: None})) == [name]
    assert insync_pending.before(LOW, CHUNKS, running(settings=None, folder=None)) == ["folder", "settings"]


def test_what_is_done_or_not_required_is_not_waited_for():
    assert insync_pending.before(LOW, CHUNKS, running(settings=True, release=True, other=None)) == []
    assert insync_pending.before({}, CHUNKS, running(settings=None)) == insync_pending.before(LOW, (), {}) == []


def test_only_test_mode_may_hope():
    run = (LOW, CHUNKS, running(settings=None))
    assert insync_pending.failure("no such file", False, *run) == {"result": False, "comment": "no such file"}
    hope = insync_pending.failure("no such file", True, *run)
    assert hope["result"] is None and hope["comment"].endswith("after settings (no such file)")
    assert insync_pending.failure("no such file", True, LOW, CHUNKS, {})["result"] is False
