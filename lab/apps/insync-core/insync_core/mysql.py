"""Connections to MySQL: TLS with the server's name checked, short time limits."""

import contextlib
import ssl

import pymysql

from insync_core.errors import needed

NEEDS = {"host": str, "port": int, "user": str, "password": str, "database": str}
SECONDS = 2


def connect(conf, ca_file, **options):
    """
    Return a connection of PyMySQL.

    conf (dict): what NEEDS names.
    Raises Unavailable.
    """
    with needed("mysql", pymysql.MySQLError):
        return pymysql.connect(
            host=conf["host"],
            port=conf["port"],
            user=conf["user"],
            password=conf["password"].encode(),
            database=conf["database"],
            charset="utf8mb4",
            ssl=ssl.create_default_context(cafile=ca_file),
            connect_timeout=SECONDS,
            read_timeout=SECONDS,
            write_timeout=SECONDS,
            **options,
        )


@contextlib.contextmanager
def transaction(conf, ca_file):
    """Give a cursor; commit at the end, roll back on an error. Raises Unavailable."""
    with connect(conf, ca_file) as connection, needed("mysql", pymysql.MySQLError):
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()


def check(conf, ca_file, table):
    """Return a detail for readiness: ``table`` can be read. Raises Unavailable."""
    with needed("mysql", pymysql.MySQLError), connect(conf, ca_file) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
        return f"{conf['host']} as {conf['user']}"
