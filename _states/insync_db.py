"""Which of the servers with MariaDB is open for writes, which replicates it, and how a blank one gets its data."""

import pathlib
import time

import insync_db
import insync_lock
import insync_mariadb
import insync_mariadb_seed
import insync_systemd
import insync_verb
from insync_mariadb import DatabaseError
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync_db"

# The server's own tables: once they are there, it may be opened by what does so after every start.
_DATA = pathlib.Path("/var/lib/mysql/mysql")
# For how long a replica may take to show that it runs.
_SECONDS = 20
# And how long the replica's coming back, on which the primary is opened by itself.
_OPENER, _OPENING_SECONDS = "mariadb-primary", 10


def __virtual__():
    return __virtualname__


def writable(name):
    """
    Open this server for writes, which comes up closed: it is the declared primary.

    It stays closed if it is fenced, or is set up as the replica of another: who is the primary is changed by the verbs
    of ct1, which see to both servers, and by no highstate.

    name (str): path of the server's socket.

    .. code-block:: yaml

        mariadb-writable:
          insync_db.writable:
            - name: /run/mysqld/mysqld.sock
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "it is open for writes"}
    try:
        if __opts__["test"] and not pathlib.Path(name).exists():
            if _DATA.exists():
                return {**ret, "result": None, "comment": "MariaDB does not run; what differs is seen once it does"}
            comment = "MariaDB does not run yet; on a new server this would open it"
            return {**ret, "changes": _opened(), "result": None, "comment": comment}
        with insync_mariadb.local(name) as query:
            if not insync_db.closed(query):
                return ret
            insync_db.may_open(query)
            if __opts__["test"]:
                return {**ret, "changes": _opened(), "result": None, "comment": "would be opened for writes"}
            if _opens_by_itself(query):
                return ret
            insync_db.open_for_writes(query)
    except (DatabaseError, insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": _opened(), "comment": "opened for writes"}


def _opens_by_itself(query):
    """Whether the unit that opens it after every start does so now, a moment after one."""
    deadline = time.monotonic() + _OPENING_SECONDS
    while insync_systemd.state(_OPENER)["active"] == "active" and time.monotonic() < deadline:
        if not insync_db.closed(query):
            return True
        time.sleep(0.2)
    return False


def _opened():
    return {"read_only": {"old": True, "new": False}}


def seeded(name, socket, source, port, donor_port, user, key, ca):
    """
    Let the data of a replica be a copy of the primary's, judged by its lineage, never by its files.

    A copy of ours is known by its marker. What is blank (the server says so: no database, no account, no transaction),
    or a copy that was begun and not finished, is replaced by a copy that the primary streams. What has a history that
    is all part of the primary's is marked as what it is. Everything else is left alone, and told.

    name (str): folder of the server's data. socket (str): path of its socket.
    source (str), port (int): the primary. donor_port (int): where it gives copies.
    user (str), key (str): the replication account, and where in the secrets of pillar its password is (role:key).
    ca (str): file of the authority that vouches for the primary.

    .. code-block:: yaml

        mariadb-seeded:
          insync_db.seeded:
            - name: /var/lib/mysql
            - socket: /run/mysqld/mysqld.sock
            - source: db.insync.internal
            - port: 3306
            - donor_port: 3307
            - user: replica
            - key: mysql_primary:replica_password
            - ca: /etc/insync/fleet-ca.crt
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "its data is known"}
    data = pathlib.Path(name)
    try:
        if insync_mariadb_seed.marker(data):
            return ret
        blank = insync_db.replaceable(data, socket)
        changes = {name: f"a copy of {source}" if blank else "known as part of the primary's history"}
        if not blank:
            with insync_mariadb.local(socket) as query, _remote(source, port, user, key, ca) as primary:
                position = insync_db.position_known_to(query, primary, source)
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"would be {changes[name]}"}
        with _alone("insync_db.seeded"):
            if blank:
                _seed(data, (source, donor_port), _password(key), ca)
            else:
                insync_mariadb_seed.mark(data, {"from": source, "gtid": position, "kind": "known"})
    except (DatabaseError, insync_lock.Held, insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": changes[name]}


def _seed(data, donor, password, ca):
    folder = insync_mariadb_seed.incoming(data)
    position = insync_mariadb_seed.fetch(folder, donor, password, ca)
    insync_db.put_in_place(folder, data, {"from": donor[0], "gtid": position, "kind": "copy"})


def replica_of(name, data, databases, source, port, user, key, ca):
    """
    Let this server replicate the primary, by GTID and TLS, from where its data ends; it stays closed for writes.

    A server that is open for writes and replicates nobody is left alone, and so is one whose data nobody knows.
    Replication that stopped is started; an error of it is told, and so is a database that has not come.

    name (str): path of the server's socket. data (str): folder of its data. databases (list of str): what is in it.
    source (str), port (int), user (str), key (str), ca (str): as for ``seeded``.

    .. code-block:: yaml

        mariadb-replication:
          insync_db.replica_of:
            - name: /run/mysqld/mysqld.sock
            - data: /var/lib/mysql
            - databases: [insync, insync_mail]
            - source: db.insync.internal
            - port: 3306
            - user: replica
            - key: mysql_primary:replica_password
            - ca: /etc/insync/fleet-ca.crt
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"it replicates {source}"}
    wanted = {"source": source, "port": port, "user": user, "ca": ca}
    try:
        if __opts__["test"] and not insync_mariadb_seed.marker(pathlib.Path(data)):
            changes = {"source": {"old": None, "new": source}}
            return {**ret, "changes": changes, "result": None, "comment": f"once seeded it would replicate {source}"}
        if __opts__["test"] and not pathlib.Path(name).exists():
            return {**ret, "result": None, "comment": "MariaDB does not run; what differs is seen once it does"}
        with insync_mariadb.local(name) as query:
            changes = insync_db.replication_changes(query, wanted)
            if not changes:
                return _told(ret, query, databases)
            if __opts__["test"]:
                return {**ret, "changes": changes, "result": None, "comment": f"would change {', '.join(changes)}"}
            with _alone("insync_db.replica_of"):
                seed = insync_mariadb_seed.marker(pathlib.Path(data))
                insync_db.replicate(query, wanted, _password(key), seed, changes)
                _wait(query)
            return {**_told(ret, query, databases), "changes": changes}
    except insync_lock.Held as exc:
        return {**ret, "comment": f"left alone: {exc}"}
    except (DatabaseError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}


def _told(ret, query, databases):
    problem = insync_db.replication_problem(query)
    if lacking := sorted(set(databases) - set(insync_mariadb.databases(query))):
        problem = problem or f"what the primary has to have has not come: {', '.join(lacking)}"
    return {**ret, "result": False, "comment": problem} if problem else ret


def _wait(query):
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and insync_db.starting(query):
        time.sleep(0.2)


def _alone(verb):
    return insync_verb.alone(insync_db.AREA, verb)


def _remote(source, port, user, key, ca):
    return insync_mariadb.remote(source, port, user, _password(key), ca)


def _password(where):
    role, _, key = where.partition(":")
    password = __pillar__.get("secrets", {}).get(role, {}).get(key)
    if not password:
        raise CommandExecutionError(f"the secret {where} is missing or empty")
    return password
