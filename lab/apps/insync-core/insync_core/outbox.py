"""
The outbox: mails that are committed together with what they are about, and kept until they were sent.

Who wants a mail sent adds it in the transaction in hand; the mailer's relay puts it into the queue, and puts it again
until the mailer has written down that it was sent. So no mail is lost with the queue, and none is sent of what was
rolled back.
"""

import pymysql

from insync_core import mysql
from insync_core.errors import Unavailable, needed

# Of a database of its own: who adds mails need not read what others are told.
DATABASE, NAME = "insync_outbox", "mails"
TABLE = f"{DATABASE}.{NAME}"
_THERE = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"


def add(cursor, mailing):
    """
    Add ``mailing`` (insync_core.mail.Mail) in the transaction of ``cursor``; one with its id that is there stays.

    Raises pymysql.MySQLError.
    """
    cursor.execute(f"INSERT IGNORE INTO {TABLE} (id, body) VALUES (%s, %s)", (mailing.id, mailing.job()))


def check(conf, ca_file, table):
    """Return a detail for readiness: ``table`` can be read, and the outbox is there. Raises Unavailable."""
    with needed("mysql", pymysql.MySQLError), mysql.connect(conf, ca_file) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
        cursor.execute(_THERE, (DATABASE, NAME))
        if cursor.fetchone() != (1,):
            raise Unavailable("mysql", f"there is no {TABLE}, or no right to use it")
        return f"{conf['host']} as {conf['user']}"
