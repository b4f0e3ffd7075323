"""The part of one server in a switch of the primary: closed, caught up, opened; each step as good twice as once."""

import socket
import time

import insync_db
import insync_files
import insync_gtid
import insync_mariadb
import insync_mariadb_seed
import insync_systemd
from insync_mariadb import DatabaseError

# For how long a statement that runs may keep the server from being closed.
_PATIENCE = 5


def fence(why):
    """Let nobody open this server from now on; ``why`` (str) is for who finds it closed. Raises OSError."""
    insync_mariadb.FENCE.parent.mkdir(parents=True, exist_ok=True)
    insync_files.replace(insync_mariadb.FENCE, f"{why}\n")


def unfence():
    """Let this server be opened again by whoever may; return whether it was fenced (bool). Raises OSError."""
    there = insync_mariadb.FENCE.exists()
    insync_mariadb.FENCE.unlink(missing_ok=True)
    return there


def kill():
    """
    End a MariaDB that does not answer, as a crash would: what it has not answered yet must not be committed at its end.

    systemd starts it again, closed and fenced. Raises DatabaseError.
    """
    try:
        if insync_systemd.state(insync_db.UNIT)["active"] == "active":
            insync_systemd.systemctl("kill", "--signal=KILL", insync_db.UNIT)
    except insync_systemd.UnitError as exc:
        raise DatabaseError(str(exc)) from exc


def close(query):
    """
    Take no more writes; return where the log ends then (str, a GTID list).

    query (insync_mariadb.Query). What is committed is answered; who has not committed is refused.
    Raises DatabaseError if a statement runs that lets nobody close it.
    """
    query(f"SET SESSION lock_wait_timeout = {_PATIENCE}")
    query("SET GLOBAL read_only = ON")
    return query.variable("gtid_binlog_pos")


def caught_up(query, position, seconds):
    """
    Wait until this replica has applied all up to ``position`` (str, a GTID list).

    query (insync_mariadb.Query). seconds (float): for how long. Raises DatabaseError if it has not then.
    """
    if position and query.value(f"SELECT MASTER_GTID_WAIT('{insync_gtid.text(position)}', {float(seconds)})") != 0:
        problem = insync_db.replication_problem(query) or "its applier is too slow"
        reached = query.variable("gtid_slave_pos")
        raise DatabaseError(f"it has not applied {position} within {seconds:.0f} s, only {reached}: {problem}")


def received(query, seconds):
    """
    Stop receiving, and apply all that was received: the relay log to its end.

    query (insync_mariadb.Query). seconds (float): for how long that may take.
    Returns the last GTIDs (str) that were received. Raises DatabaseError; it may be called again then.
    """
    found = insync_mariadb.replication(query)
    if not found:
        raise DatabaseError("it is nobody's replica")
    if found["Last_SQL_Errno"]:
        raise DatabaseError(f"it has diverged: {insync_db.replication_problem(query)}")
    # The applier first: of two threads that stand still the next start throws the relay log away.
    if found["Slave_SQL_Running"] != "Yes":
        if found["Slave_IO_Running"] == "No":
            raise DatabaseError("its replication was stopped as a whole: nobody knows how much of the log it has lost")
        query("START SLAVE SQL_THREAD")
    query("STOP SLAVE IO_THREAD")
    position = insync_mariadb.replication(query)["Gtid_IO_Pos"]
    caught_up(query, position, seconds)
    return position


def promote(query):
    """
    Open this server, which has applied all that it will ever get, for writes; it is nobody's replica any more.

    query (insync_mariadb.Query). Raises DatabaseError; it stays closed then.
    """
    if insync_mariadb.replication(query):
        query("STOP SLAVE")
        query("RESET SLAVE ALL")
    insync_db.may_open(query)
    insync_db.open_for_writes(query)


def start(seconds=60):
    """
    Start the server, unless its data is half a copy or none; return whether it answers (bool).

    seconds (float): for how long it is waited for. Raises DatabaseError if it does not come.
    """
    if insync_mariadb_seed.half(insync_mariadb.DATA) or insync_mariadb_seed.empty(insync_mariadb.DATA):
        return False
    try:
        insync_systemd.systemctl("start", insync_db.UNIT)
    except insync_systemd.UnitError as exc:
        raise DatabaseError(f"{exc}; see 'journalctl -u {insync_db.UNIT}'") from exc
    deadline = time.monotonic() + seconds
    while True:
        try:
            with insync_mariadb.local():
                return True
        except insync_mariadb.Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def answered_by(address, port, seconds=1):
    """Return whether a server at ``address`` (str), ``port`` (int) greets who connects, within ``seconds`` (bool)."""
    try:
        with socket.create_connection((address, int(port)), seconds) as connection:
            connection.settimeout(seconds)
            return bool(connection.recv(1))
    except OSError:
        return False
