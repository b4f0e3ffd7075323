"""What a server with MariaDB is at this moment, as it says itself, and what is wrong with that."""

import insync_db
import insync_inventory
import insync_mariadb
import insync_mariadb_seed

_THREADS = {"receiver": "Slave_IO_Running", "applier": "Slave_SQL_Running"}
_AGE = (
    "SELECT server, TIMESTAMPDIFF(MICROSECOND, at, UTC_TIMESTAMP(6)) / 1000000, semi_sync FROM insync_fleet.heartbeat"
)
_COLUMN = (
    "SELECT COUNT(*) FROM information_schema.columns"
    " WHERE table_schema = 'insync_fleet' AND table_name = 'heartbeat' AND column_name = 'semi_sync'"
)


def declared(pillar):
    """
    Return what the ``pillar`` (dict) of a server with MariaDB says of its part (dict).

    role (primary or replica), replicas (addresses), source (name of the primary), stale_seconds.
    """
    return {
        "role": "replica" if insync_inventory.REPLICA in pillar["roles"] else "primary",
        "replicas": list(pillar["clients"].get(insync_inventory.REPLICA, [])),
        "source": next(iter(pillar["endpoints"]["mysql"]["hosts"].values())),
        "stale_seconds": pillar["mariadb"]["stale_seconds"],
    }


def seen(query):
    """
    Return what the server of ``query`` (insync_mariadb.Query) is (dict).

    version, uptime (seconds), writable (bool), fenced (bool), gtid (dict: current, binlog, applied, history), clients
    (sessions of others than replicas and root), heartbeat (dict, see ``heartbeat``), semi_sync (dict), replicas
    (addresses), replication (dict; None if it is set up as nobody's replica), seed (dict: what its data was copied or
    restored from; None for one that was the first).
    Raises insync_mariadb.DatabaseError.
    """
    return {
        "version": query.variable("version"),
        "uptime": int(query.status("Uptime")["Uptime"]),
        "writable": not insync_db.closed(query),
        "fenced": insync_mariadb.FENCE.exists(),
        "gtid": {
            "current": query.variable("gtid_current_pos"),
            "binlog": query.variable("gtid_binlog_pos"),
            "applied": query.variable("gtid_slave_pos"),
            # The last of each server that wrote into its log: what is part of its history.
            "history": query.variable("gtid_binlog_state"),
        },
        "clients": _clients(query),
        "heartbeat": heartbeat(query),
        "semi_sync": _semi_sync(query),
        "replicas": insync_mariadb.replicas(query),
        "replication": _replication(query),
        "seed": insync_mariadb_seed.marker(insync_mariadb.DATA),
    }


def heartbeat(query):
    """
    Return the newest heartbeat that is here (dict), None if there is none.

    server: who wrote it. age: how many seconds ago. semi_sync: whether what was answered then was on a replica too.
    """
    rows = query(_AGE) if query.value(_COLUMN) else []
    return {"server": rows[0][0], "age": round(float(rows[0][1]), 1), "semi_sync": bool(rows[0][2])} if rows else None


def _clients(query):
    rows = query(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE command NOT LIKE 'Binlog Dump%'"
        " AND command NOT IN ('Daemon', 'Slave_IO', 'Slave_SQL', 'Slave_worker')"
        " AND user NOT IN ('root', 'system user')"
    )
    return rows[0][0]


def _semi_sync(query):
    found = query.status("Rpl_semi_sync_master_%")
    return {
        "on": found["Rpl_semi_sync_master_status"] == "ON",
        "enabled": bool(int(query.variable("rpl_semi_sync_master_enabled"))),
        "timeout_ms": int(query.variable("rpl_semi_sync_master_timeout")),
        "confirming": int(found["Rpl_semi_sync_master_clients"]),
        # How often it went on alone, and how many commits nobody has confirmed, since its start.
        "gave_up": int(found["Rpl_semi_sync_master_no_times"]),
        "unconfirmed": int(found["Rpl_semi_sync_master_no_tx"]),
    }


def _replication(query):
    found = insync_mariadb.replication(query)
    if not found:
        return None
    return {
        "source": found["Master_Host"],
        "receiver": found["Slave_IO_Running"],
        "applier": found["Slave_SQL_Running"],
        "received": found["Gtid_IO_Pos"],
        "error": " ".join((found["Last_SQL_Error"] or found["Last_IO_Error"] or "").split())[:300],
        "semi_sync": query.status("Rpl_semi_sync_slave_status")["Rpl_semi_sync_slave_status"] == "ON",
    }


def problems(found, declared):
    """
    Return what is not as it is declared (list of str), [] if all is.

    found (dict): of ``seen``. declared (dict): of ``declared``.
    """
    check = _of_primary if declared["role"] == "primary" else _of_replica
    return [*(["it is fenced"] if found["fenced"] else []), *check(found, declared)]


def _of_primary(found, declared):
    if found["replication"]:
        yield f"it is the declared primary, but replicates {found['replication']['source']}"
    if not found["writable"]:
        yield "it is the declared primary, but closed for writes"
    for address in sorted(set(declared["replicas"]) - set(found["replicas"])):
        yield f"the replica {address} is not connected"
    if declared["replicas"] and found["writable"] and not found["semi_sync"]["on"]:
        yield "semi-synchronous replication is off: what is written now may be lost with this server"
    yield from _late(found, declared, "the heartbeat is not written")


def _of_replica(found, declared):
    if found["writable"]:
        yield "it is declared a replica, but open for writes"
    if not found["replication"]:
        yield f"it does not replicate {declared['source']}"
        return
    if found["replication"]["source"] != declared["source"]:
        yield f"it replicates {found['replication']['source']}, and not {declared['source']}"
    for thread in _THREADS:
        if found["replication"][thread] != "Yes":
            yield f"the {thread} does not run: {found['replication']['error'] or 'it was stopped'}"
    yield from _late(found, declared, f"it is behind {declared['source']}, or that writes no heartbeat")


def _late(found, declared, what):
    if not declared["replicas"] and declared["role"] == "primary":
        return
    beat = found["heartbeat"]
    if not beat:
        yield "there is no heartbeat"
    elif beat["age"] > declared["stale_seconds"]:
        yield f"{what}: its age is {beat['age']:.0f} s"
