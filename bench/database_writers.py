"""How many commits a second eight writers get when a replica has to confirm each of them, and when none has to."""

import contextlib
import time

from bench.database_ground import run, sql
from tests.fleet.writers import writing

# It would turn it on again at once; its heartbeat rests meanwhile.
GUARD = "systemctl kill --signal={} mariadb-primary"
SWITCH = "SET GLOBAL rpl_semi_sync_master_enabled = {}"
SECONDS, SETTLED = 6, 1


def rounds(fleet, primary, count):
    """Return ({"on": commits a second, "off": the same} of each of ``count`` rounds, in turn) at ``primary`` (str)."""
    spans = []
    with writing(fleet, primary, [primary], pause=0) as writers, _put_back(primary):
        for number in range(count):
            order = ("on", "off") if number % 2 == 0 else ("off", "on")
            spans.append({how: _span(fleet, primary, how) for how in order})
    found = [{how: _commits(writers, *span) for how, span in one.items()} for one in spans]
    for one in found:
        print(f"semi-sync: {one['on']:.0f} commits a second, and {one['off']:.0f} without", flush=True)
    return found


def _span(fleet, primary, how):
    """Let them write for a while; return (when that began, when it ended)."""
    run(primary, GUARD.format("STOP" if how == "off" else "CONT"))
    sql(primary, SWITCH.format(how))
    fleet.eventually(lambda: _confirmed(primary) == (how == "on"), 60, why=f"semi-sync does not come to be {how}")
    time.sleep(SETTLED)
    began = time.time()
    time.sleep(SECONDS)
    ended = time.time()
    if _confirmed(primary) != (how == "on"):
        raise SystemExit(f"{primary}: semi-sync did not stay {how}")
    return began, ended


def _confirmed(primary):
    return sql(primary, "SHOW STATUS LIKE 'Rpl_semi_sync_master_status'").endswith("ON")


def _commits(writers, began, ended):
    return sum(began <= when < ended for _, when, _ in writers.rows) / (ended - began)


@contextlib.contextmanager
def _put_back(primary):
    try:
        yield
    finally:
        sql(primary, SWITCH.format("on"))
        run(primary, GUARD.format("CONT"))
