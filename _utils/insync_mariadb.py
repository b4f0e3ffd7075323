"""The MariaDB on this server, or another one that an account of the fleet may enter."""

import contextlib
import pathlib
import re

import pymysql
import pymysql.cursors

SOCKET = "/run/mysqld/mysqld.sock"
DATA = pathlib.Path("/var/lib/mysql")
# While it is there, the server is not opened by anybody.
FENCE = pathlib.Path("/var/lib/insync/db/fenced")
# The fleet's own: the heartbeat.
OWN = "insync_fleet"
SYSTEM = {"mysql", "performance_schema", "sys", "information_schema"}
_HASH = re.compile(r"\*[0-9A-F]{40}")


class DatabaseError(ValueError):
    """MariaDB does not answer or refuses; the message is one line without any password."""


class Unreachable(DatabaseError):
    """Nobody answers there, or nobody who may be believed."""


class Query:
    """Runs statements in one session."""

    def __init__(self, connection):
        self._connection = connection

    def __call__(self, statement, *arguments):
        """Return the rows (list of tuple) of ``statement`` (str); ``arguments`` stand for its ``%s``."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, arguments or None)
            return list(cursor.fetchall())

    def dicts(self, statement):
        """Return the rows of ``statement`` (str) as dicts."""
        with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def value(self, statement):
        """Return the one value that ``statement`` (str) asks for, None if there is no row."""
        rows = self(statement)
        return rows[0][0] if rows else None

    def variable(self, name):
        """Return the global variable ``name`` (str)."""
        return self.value(f"SELECT @@GLOBAL.{name}")

    def status(self, pattern):
        """Return {name: value} (str) of the status variables that ``pattern`` (str) is like."""
        return dict(self("SHOW GLOBAL STATUS LIKE %s", pattern))


@contextlib.contextmanager
def local(socket=SOCKET, seconds=10):
    """
    Yield a Query as root, by the server's own ``socket`` (str).

    seconds (float): how long its answer to the connection is waited for.
    Raises Unreachable, or DatabaseError for a statement that it refuses.
    """
    where = {"unix_socket": socket, "user": "root", "ssl_disabled": True}
    with _session(f"MariaDB at {socket}", "see 'journalctl -u mariadb'", seconds, where) as query:
        yield query


@contextlib.contextmanager
def remote(host, port, user, password, ca, seconds=10):
    """
    Yield a Query at another server by TLS; its certificate must be of ``ca`` and for ``host``.

    host (str), port (int), user, password (str), ca (str: file). Raises as ``local`` does.
    """
    tls = {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    # A text would be sent in Latin-1.
    where = {"host": host, "port": port, "user": user, "password": password.encode(), **tls}
    with _session(f"MariaDB of {host}", f"is it up, and may {user} enter from here?", seconds, where) as query:
        yield query


@contextlib.contextmanager
def _session(name, remedy, seconds, where):
    try:
        # A server that stands still lets everybody connect, and greets nobody.
        limits = {"connect_timeout": seconds, "read_timeout": seconds}
        connection = pymysql.connect(autocommit=True, charset="utf8mb4", **limits, **where)
        # Statements may take their time, some wait for another server.
        connection._read_timeout = None
    except (pymysql.MySQLError, OSError) as exc:
        raise Unreachable(f"{name}: {_reason(exc)}; {remedy}") from exc
    try:
        with connection:
            yield Query(connection)
    except (pymysql.MySQLError, OSError) as exc:
        raise DatabaseError(f"{name}: {_reason(exc)}") from exc


def _reason(exc):
    said = str(exc.args[-1] if exc.args else exc)
    return _HASH.sub("*", " ".join(said.split()))[:300]


def replication(query):
    """Return what SHOW SLAVE STATUS says (dict) to ``query`` (Query), {} if the server is nobody's replica."""
    rows = query.dicts("SHOW SLAVE STATUS")
    return rows[0] if rows else {}


def replicas(query):
    """Return the addresses (sorted list of str) of the replicas that read the log of the server of ``query``."""
    rows = query("SELECT host FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
    return sorted({host.rpartition(":")[0] or host for (host,) in rows})


def databases(query):
    """Return the names (sorted list of str) of the databases that are not the server's own."""
    return sorted({name for (name,) in query("SHOW DATABASES")} - SYSTEM)
