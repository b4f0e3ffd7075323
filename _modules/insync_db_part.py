"""
A database's part in a switch of the primary, step by step.

The verbs on ct1 take these steps on the servers that a switch concerns; nobody has to call them by hand.
"""

import insync_db_part
import insync_db_salvage
import insync_errors
import insync_gtid
import insync_mariadb
import insync_systemd

__virtualname__ = "insync_db"

_told = insync_errors.told(insync_mariadb.DatabaseError, insync_gtid.GtidError, insync_systemd.UnitError)


def __virtual__():
    return __virtualname__


@_told
def close(why):
    """
    Fence this server's MariaDB, and close it for writes.

    why (str): what for. Returns where its log ends (str, a GTID list). Raises CommandExecutionError; it is fenced then.

    CLI Example:

    .. code-block:: bash

        salt db insync_db.close 'insync.switchover_db db-slave02'
    """
    insync_db_part.fence(why)
    with insync_mariadb.local() as query:
        return insync_db_part.close(query)


@_told
def fence(why):
    """
    Let nobody open this server's MariaDB, and end it if it runs and does not answer; it comes back closed.

    why (str): what for. Returns True. Raises CommandExecutionError.

    CLI Example:

    .. code-block:: bash

        salt db insync_db.fence 'insync.failover_db db-slave02'
    """
    insync_db_part.fence(why)
    try:
        with insync_mariadb.local(seconds=3) as query:
            insync_db_part.close(query)
    except insync_mariadb.DatabaseError:
        insync_db_part.kill()
    return True


@_told
def unfence():
    """
    Let this server's MariaDB be opened again by whoever may.

    Returns whether it was fenced (bool). Raises CommandExecutionError.

    CLI Example:

    .. code-block:: bash

        salt db insync_db.unfence
    """
    return insync_db_part.unfence()


@_told
def caught_up(position, seconds=30):
    """
    Wait until this replica has applied all up to a position.

    position (str): a GTID list. seconds (int): for how long. Returns True. Raises CommandExecutionError if it has not.

    CLI Example:

    .. code-block:: bash

        salt db-slave02 insync_db.caught_up 0-17-4711
    """
    with insync_mariadb.local() as query:
        insync_db_part.caught_up(query, position, seconds)
    return True


@_told
def received(seconds=60):
    """
    Let this replica receive no more, and apply all that it has received.

    seconds (int): for how long that may take. Returns the last GTIDs that it received (str). Raises
    CommandExecutionError if it has diverged, or is no replica.

    CLI Example:

    .. code-block:: bash

        salt db-slave02 insync_db.received
    """
    with insync_mariadb.local() as query:
        return insync_db_part.received(query, seconds)


@_told
def promote():
    """
    Open this server's MariaDB for writes; it is nobody's replica any more.

    Returns True. Raises CommandExecutionError if it is fenced.

    CLI Example:

    .. code-block:: bash

        salt db-slave02 insync_db.promote
    """
    with insync_mariadb.local() as query:
        insync_db_part.promote(query)
    return True


@_told
def start():
    """
    Start this server's MariaDB, unless its data is half a copy, which the highstate makes whole.

    Returns whether it answers (bool). Raises CommandExecutionError if it does not start.

    CLI Example:

    .. code-block:: bash

        salt db insync_db.start
    """
    return insync_db_part.start()


@_told
def salvage(history):
    """
    Write what only this server has into files.

    history (str): @@gtid_binlog_state of the primary. Returns a dict: lacking (the last GTIDs of it, list of str),
    files (list of dict: file, transactions, rows). Raises CommandExecutionError, with nothing changed, if it cannot.

    CLI Example:

    .. code-block:: bash

        salt db insync_db.salvage 0-17-4711
    """
    with insync_mariadb.local() as query:
        files = insync_db_salvage.salvage(query, history)
        return {"lacking": insync_db_salvage.lacking(query, history), "files": files}


@_told
def give_up(history):
    """
    Let the next highstate make this server's data anew from the primary's: all that only it has was salvaged.

    history (str): @@gtid_binlog_state of the primary. Returns True. Raises CommandExecutionError, with nothing changed,
    if it is open for writes, or has more than was salvaged.

    CLI Example:

    .. code-block:: bash

        salt db insync_db.give_up 0-17-4711
    """
    with insync_mariadb.local() as query:
        insync_db_salvage.give_up(query, history, insync_mariadb.DATA)
    return True


@_told
def answered_by(address, port):
    """
    Tell whether a MariaDB answers this server.

    address (str), port (int): where. Returns a bool.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_db.answered_by 10.132.1.17 3306
    """
    return insync_db_part.answered_by(address, port)
