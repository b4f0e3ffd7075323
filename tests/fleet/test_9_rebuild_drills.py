"""A server is lost with all that was on it, and comes back on a bare droplet and from its backups, as it was."""

import json
import re
import subprocess
import time

import insync_backup_keys
import insync_inventory
import pytest

from tests.fleet import test_7_environments as environments
from tests.fleet import test_7_failover_drills as database
from tests.fleet import test_7_stores_drills as stores
from tests.fleet import web
from tests.fleet.conftest import INVENTORY, ROOT, SERVERS, TURN, changed, failed
from tests.fleet.release import ran

pytestmark = pytest.mark.alone

MASTER = "ct1"
LAST = [server for server in SERVERS if server != MASTER] + [MASTER]
# At small size one of those that all others need, or one of the others, in turn: more would take too long.
NEEDED = ["web02", "db", MASTER]
OTHERS = [server for server in SERVERS if server not in NEEDED]
FEW = [[*NEEDED, OTHERS[TURN // 4 % len(OTHERS)]][TURN % 4]]


def lost_and_rebuilt(fleet, server):
    """Lose ``server``, bring it back; return the seconds from the bare droplet on, and what was moved aside."""
    begun = time.monotonic()
    rebuild = [".venv/bin/python", "-m", "lab", "rebuild", server]
    done = subprocess.run(rebuild, cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return time.monotonic() - begun, sorted(set(re.findall(r"\S*before_\d{8}t\d{6}", done.stdout)))


def data(fleet, server):
    """What is on ``server`` of what users gave it: kind -> what it looks like."""
    return {kind: stores.kept(fleet, kind) for kind, where in stores.SERVERS.items() if where == server}


def record(fleet, server):
    return json.loads(fleet.ok(MASTER, "cat", f"/var/lib/insync/rebuild/{server}/journal.json"))


def nothing_to_do(fleet, *servers):
    for server, states in fleet.highstate(servers).items():
        assert (failed(states), changed(states)) == ([], []), server


@pytest.mark.parametrize(
    "server", [server if server in FEW else pytest.param(server, marks=pytest.mark.full_size) for server in LAST]
)
def test_a_lost_server_comes_back_as_it_was(fleet, drills, server):
    if server in insync_backup_keys.servers([str(ROOT / "pillar")], INVENTORY):
        (said,) = fleet.salt(server, "insync.backup", "kind=data").values()
        assert isinstance(said, dict), said
    if insync_inventory.BALANCER in INVENTORY["hosts"][server]["roles"] and "blue" in web.active_unit(fleet, server):
        # A balancer that knows nothing lets the first slot serve.
        (said,) = fleet.salt(server, "insync.restart_web").values()
        assert said["changes"], said
    before, recipient = data(fleet, server), web.address("rebuilt")
    assert web.sign_up(fleet, recipient)[0] == 201
    primary = server == database.declared(fleet)
    if primary:
        database.power(fleet, "kill", server)
        ran(fleet, "insync.failover_db", database.other(server))
    seconds, aside = lost_and_rebuilt(fleet, server)
    if primary:
        ran(fleet, "insync.switchover_db", server)
    drills.note_rebuild(server, seconds, {} if server == MASTER else record(fleet, server)["phases"])
    assert data(fleet, server) == before
    stores.sweep(fleet, server, aside)
    nothing_to_do(fleet, server)
    if server == MASTER:
        fleet.eventually(lambda: set(fleet.salt("*", "test.ping", patience=5)) == set(SERVERS), 120)
    else:
        assert record(fleet, server)["end"] == "ok"
    if environment := INVENTORY["hosts"][server].get("environment"):
        shown = lambda: environments.ask(fleet, environment, "/version", *environments.VISITOR)[0] == 200  # noqa: E731
        fleet.eventually(shown, 60, why=f"{environment} shows nothing")
    fleet.eventually(lambda: web.sign_up(fleet, recipient)[0] == 409, 60, why="the customer is not known any more")
    fleet.eventually(lambda: web.sign_up(fleet, web.address())[0] == 201, 60, why="nobody can sign up")


def test_what_cannot_be_rebuilt_is_refused_in_a_line(fleet):
    for words, said in (
        (["web-lb02"], "web-lb02 answers: it is not lost"),
        ([MASTER], f"{MASTER} is where this runs: docs/rebuild.md"),
        (["web03"], "there is no server 'web03'; did you mean 'web02'?"),
        ([database.declared(fleet)], "is the declared primary of the database: 'salt-run insync.failover_db"),
        ([], "host: is missing"),
        (["web-lb02", "test=maybe"], "test=maybe: is neither True nor False"),
    ):
        done = fleet.run(MASTER, "salt-run", "--log-level=critical", "insync.rebuild", *words)
        assert done.returncode == 1 and said in done.stdout + done.stderr, words
    assert set(INVENTORY["hosts"]) == set(fleet.salt("*", "test.ping", patience=5))
