"""States that a verb on ct1 has applied: whether all went well, and what says why not."""

import importlib.util

import pytest
from salt.exceptions import CommandExecutionError

from lab.paths import ROOT

GOOD = {"__id__": "firewall-rules", "result": True, "changes": {"diff": "x"}, "comment": "updated"}
SAME = {"__id__": "firewall-loaded", "result": True, "changes": {}, "comment": "as declared"}
BROKEN = {
    "__id__": "mariadb-seeded",
    "result": False,
    "changes": {},
    "comment": "it has\n transactions",
    "__run_num__": 3,
}
AFTER = {"__id__": "mariadb-service", "result": False, "changes": {}, "comment": "One or more requisite failed: x"}


@pytest.fixture
def applied():
    """A function that applies components, of which the states are said to report something."""
    spec = importlib.util.spec_from_file_location("insync_states_module", ROOT / "_modules" / "insync_states.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__context__ = {"retcode": 2}
    asked = []

    def apply(reported):
        module.__salt__ = {
            "saltutil.refresh_pillar": lambda wait: asked.append("pillar"),
            "state.apply": lambda names, queue: asked.append(names) or reported,
        }
        return module.apply("mariadb", "firewall")

    apply.context = module.__context__
    apply.asked = asked
    return apply


def test_what_changed_is_told(applied):
    assert applied({"a": GOOD, "b": SAME}) == ["firewall-rules"]
    assert applied.asked == ["pillar", "mariadb,firewall"]


def test_the_first_that_failed_is_told_and_not_what_waits_for_it(applied):
    with pytest.raises(CommandExecutionError, match="^mariadb-seeded: it has transactions$"):
        applied({"a": GOOD, "b": {**AFTER, "__run_num__": 1}, "c": BROKEN})


def test_states_that_do_not_compile_are_told(applied):
    with pytest.raises(CommandExecutionError, match="Pillar failed to render"):
        applied(["Pillar failed to render", "see the master"])


def test_old_backups_stop_nobody(applied):
    old = {"__id__": "mariadb-backup-fresh", "result": False, "changes": {}, "comment": "binlogs: 2 h ago"}
    assert applied({"a": GOOD, "insync_backup_|-mariadb-backup-fresh_|-x_|-fresh": old}) == ["firewall-rules"]
    assert applied.context == {"retcode": 0}, "of the whole job"
