"""The operators' verbs on a server with the database."""

import insync_db_status
import insync_errors
import insync_fresh_pillar
import insync_mariadb
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync"

_told = insync_errors.told(insync_mariadb.DatabaseError)


def __virtual__():
    return __virtualname__


@_told
def db_primary():
    """
    Return which server ct1 declares to be the primary of this one's database, as ct1 says now.

    Returns a str. Raises CommandExecutionError if ct1 does not answer.

    CLI Example:

    .. code-block:: bash

        salt db insync.db_primary
    """
    return _primary(insync_fresh_pillar.compile(__opts__, __grains__.value()))


@_told
def db_status():
    """
    Tell what this server's database is at this moment, and what of it is not as declared.

    Returns a dict: server, role (primary or replica, as declared), primary (its name), problems (list of str, empty if
    all is well), and what the server says itself: version, uptime, writable, fenced, gtid, clients, heartbeat (server
    and age: on a replica, how far it is behind), semi_sync, replicas (those that are connected), replication.
    Raises CommandExecutionError if it cannot be known, because the server does not answer or is no database.

    CLI Example:

    .. code-block:: bash

        salt 'db*' insync.db_status
    """
    if "mariadb" not in __pillar__:
        raise CommandExecutionError("this server has no database")
    declared = insync_db_status.declared(__pillar__)
    with insync_mariadb.local() as query:
        found = insync_db_status.seen(query)
    told = {"server": __grains__["id"], "role": declared["role"], "primary": declared["source"].split(".")[0]}
    return {**told, "problems": insync_db_status.problems(found, declared), **found}


def _primary(pillar):
    if "mariadb" not in pillar:
        raise CommandExecutionError("this server has no database")
    return next(iter(pillar["endpoints"]["mysql"]["hosts"]))
