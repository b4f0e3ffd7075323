"""Databases and accounts of the MariaDB on this server, through its socket, as root."""

import contextlib
import json
import pathlib
import re

import insync_mysql
import pymysql
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_mysql"

# The server's own tables: once they are there, only a running server knows what else is.
_DATA = pathlib.Path("/var/lib/mysql/mysql")
_MODE = "STRICT_ALL_TABLES,NO_AUTO_CREATE_USER"


def __virtual__():
    return __virtualname__


def databases(name, databases):
    """
    Make the databases be, in utf8mb4, and ``test`` not; others are left alone.

    name (str): path of the server's socket.
    databases (list of str): their names.

    .. code-block:: yaml

        mariadb-databases:
          insync_mysql.databases:
            - name: /run/mysqld/mysqld.sock
            - databases: [insync, insync_mail]
    """
    return _converge(name, lambda query: insync_mysql.plan_databases(databases, _databases(query) if query else {}))


def accounts(name, accounts):
    """
    Keep the accounts exactly as declared: password, TLS required, the whole set of privileges. Every other account, but
    for the server's own, is dropped; what all may do (PUBLIC) is revoked.

    name (str): path of the server's socket.
    accounts (dict): user -> hosts: the addresses that it comes from; grants: database, or ``*`` for all, -> privileges,
        as the server names them; key: where its password is below ``secrets`` in pillar. It is read there, because
        what a state is given is in Salt's debug log.

    .. code-block:: yaml

        mariadb-accounts:
          insync_mysql.accounts:
            - name: /run/mysqld/mysqld.sock
            - accounts:
                web:
                  hosts: [10.132.1.13, 10.132.1.14]
                  key: mysql_primary:web_password
                  grants: {insync: [SELECT, INSERT]}
    """

    def plan(query):
        wanted = insync_mysql.declared(accounts, __pillar__.get("secrets", {}))
        return insync_mysql.plan_accounts(wanted, _accounts(query) if query else {})

    return _converge(name, plan)


def _converge(socket, plan):
    ret = {"name": socket, "changes": {}, "result": True, "comment": "all is as declared"}
    try:
        with _server(socket) as query:
            if not query and _DATA.exists():
                return {**ret, "result": None, "comment": "MariaDB does not run; what differs is seen once it does"}
            changes, statements = plan(query)
            if not changes:
                return ret
            if __opts__["test"]:
                return {**ret, "changes": changes, "result": None, "comment": _foretold(changes, query)}
            for statement in statements:
                query(statement)
            left, _ = plan(query)
            if left:
                raise CommandExecutionError(f"{', '.join(left)}: still not as declared; see SHOW GRANTS for its words")
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"changed {', '.join(changes)}"}


def _foretold(changes, query):
    listed = ", ".join(changes)
    return f"would change {listed}" if query else f"MariaDB does not run yet; on a new server this would make {listed}"


@contextlib.contextmanager
def _server(socket):
    """Give a function that runs a statement and returns its rows; None in test mode, where no server has been yet."""
    try:
        if __opts__["test"] and not pathlib.Path(socket).exists():
            yield None
            return
        with pymysql.connect(unix_socket=socket, user="root", sql_mode=_MODE, ssl_disabled=True) as connection:
            yield lambda statement: _rows(connection, statement)
    except insync_mysql.DeclarationError as exc:
        raise CommandExecutionError(str(exc)) from exc
    except pymysql.MySQLError as exc:
        reason = re.sub(r"\*[0-9A-F]{40}", "*", str(exc.args[-1]))
        raise CommandExecutionError(f"MariaDB at {socket}: {reason}; see 'journalctl -u mariadb'") from exc


def _rows(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def _databases(query):
    rows = query(
        "SELECT schema_name, default_collation_name, COUNT(table_name) FROM information_schema.schemata LEFT JOIN"
        " information_schema.tables ON table_schema = schema_name GROUP BY schema_name, default_collation_name"
    )
    return {name: {"collation": collation, "tables": tables} for name, collation, tables in rows}


def _accounts(query):
    # Rights of nobody on databases count for everybody, and need no account.
    nobody = query("SELECT DISTINCT User, Host FROM mysql.db WHERE User = '' AND Host <> ''")
    found = {who: {"login": {}, "grants": {}} for who in nobody}
    for user, host, login in query("SELECT User, Host, Priv FROM mysql.global_priv"):
        login = json.loads(login)
        if (user, host) == insync_mysql.PUBLIC or not login.get("is_role"):
            who = insync_mysql.account(user, host)
            lines = [line for (line,) in query(f"SHOW GRANTS FOR {who}")]
            found[user, host] = {"login": login, "grants": insync_mysql.grants(lines, who)}
    return found
