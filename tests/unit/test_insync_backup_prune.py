"""What is removed is on record, also if the store fails in the middle."""

import importlib.util
import pathlib
import types

import insync_store_errors
import pytest

FILE = pathlib.Path(__file__).parents[2] / "_modules" / "insync_backup_prune.py"
STORE = {"access_key": "who:access", "secret_key": "who:secret"}
PILLAR = {
    "backup_retention": {"store": STORE, "keep": {}, "hours": 26},
    "secrets": {"who": {"access": "A", "secret": "S"}},
}


@pytest.fixture
def verb(monkeypatch):
    """The module, over a bucket of which three backups are to go; it refuses to delete the one that is named."""
    spec = importlib.util.spec_from_file_location("insync_backup_prune", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    there = types.SimpleNamespace(name="backups", deleted=[], refuses="")

    def delete(key):
        if key == there.refuses:
            raise insync_store_errors.StoreError(f"{key}: the store is down")
        there.deleted.append(key)

    there.delete = delete
    monkeypatch.setattr(module.insync_db_archive, "store", lambda *_: there)
    monkeypatch.setattr(module.insync_db_retention, "plan", lambda *_: ["one", "two", "three"])
    return module, there


def test_what_goes_is_noted(verb):
    module, there = verb
    for test, deleted in ((True, []), (False, ["one", "two", "three"])):
        done = {}
        module._database(PILLAR, test, done)
        assert done == {"bucket": "backups", "removed": ["one", "two", "three"]}
        assert there.deleted == deleted


def test_what_went_before_the_store_failed_is_noted(verb):
    module, there = verb
    there.refuses, done = "two", {}
    with pytest.raises(insync_store_errors.StoreError):
        module._database(PILLAR, False, done)
    assert done["removed"] == there.deleted == ["one"]
