"""What the state of a database is said to be, against what is declared."""

import insync_db_status
import pytest

PRIMARY = {"role": "primary", "replicas": ["10.0.0.2"], "source": "db.example", "stale_seconds": 300}
REPLICA = {**PRIMARY, "role": "replica", "replicas": []}
OPEN = {
    "writable": True,
    "fenced": False,
    "heartbeat": {"server": "db", "age": 2.0},
    "semi_sync": {"on": True},
    "replicas": ["10.0.0.2"],
    "replication": None,
}
RUNS = {"source": "db.example", "receiver": "Yes", "applier": "Yes", "error": ""}
FOLLOWS = {**OPEN, "writable": False, "replicas": [], "semi_sync": {"on": False}, "replication": RUNS}


@pytest.mark.parametrize(
    "found, declared, problems",
    [
        (OPEN, PRIMARY, []),
        (FOLLOWS, REPLICA, []),
        ({**OPEN, "writable": False}, PRIMARY, ["it is the declared primary, but closed for writes"]),
        ({**OPEN, "fenced": True}, PRIMARY, ["it is fenced"]),
        ({**OPEN, "replicas": []}, PRIMARY, ["the replica 10.0.0.2 is not connected"]),
        ({**OPEN, "replication": RUNS}, PRIMARY, ["it is the declared primary, but replicates db.example"]),
        ({**OPEN, "heartbeat": None}, PRIMARY, ["there is no heartbeat"]),
        (
            {**OPEN, "semi_sync": {"on": False}},
            PRIMARY,
            ["semi-synchronous replication is off: what is written now may be lost with this server"],
        ),
        # One without a replica needs none of it.
        (
            {**OPEN, "replicas": [], "semi_sync": {"on": False}, "heartbeat": None},
            {**PRIMARY, "replicas": []},
            [],
        ),
        ({**FOLLOWS, "writable": True}, REPLICA, ["it is declared a replica, but open for writes"]),
        ({**FOLLOWS, "replication": None}, REPLICA, ["it does not replicate db.example"]),
        (
            {**FOLLOWS, "replication": {**RUNS, "source": "other"}},
            REPLICA,
            ["it replicates other, and not db.example"],
        ),
        (
            {**FOLLOWS, "replication": {**RUNS, "applier": "No", "error": "broken"}},
            REPLICA,
            ["the applier does not run: broken"],
        ),
        (
            {**FOLLOWS, "heartbeat": {"server": "db", "age": 301.0}},
            REPLICA,
            ["it is behind db.example, or that writes no heartbeat: its age is 301 s"],
        ),
    ],
)
def test_problems(found, declared, problems):
    assert insync_db_status.problems(found, declared) == problems


def test_what_is_declared():
    pillar = {
        "roles": ["base", "mysql_replica"],
        "clients": {"ssh_gateway": ["10.0.0.9"]},
        "endpoints": {"mysql": {"hosts": {"db": "db.example"}}},
        "mariadb": {"stale_seconds": 300},
    }
    assert insync_db_status.declared(pillar) == REPLICA
    both = {**pillar, "roles": ["mysql_primary"], "clients": {"mysql_replica": ["10.0.0.2"]}}
    assert insync_db_status.declared(both) == PRIMARY
