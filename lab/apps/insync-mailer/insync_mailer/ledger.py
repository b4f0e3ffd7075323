"""
The table sent_mail: a row per mail, written before it is sent and marked after, so that no mail is sent twice.

That a mail was sent is noted in the outbox too, in the same transaction: then it is not put again.
"""

import contextlib

import pymysql
from insync_core import mysql, outbox
from insync_core.errors import needed

# Who waits longer than a second for a row waits for another mailer's SMTP.
SETUP = "SET SESSION innodb_lock_wait_timeout = 1"
LOCKED = 1205
CONFIRM = f"UPDATE {outbox.TABLE} SET delivered_at = CURRENT_TIMESTAMP WHERE id = %s AND delivered_at IS NULL"


class Busy(Exception):
    """Another mailer has this mail in hand."""


class Ledger:
    """Keeps one connection to ``conf`` (dict: what mysql.NEEDS names)."""

    def __init__(self, conf, ca_file):
        self.conf = conf
        self.ca_file = ca_file
        self._connection = None

    @contextlib.contextmanager
    def entry(self, identity):
        """
        Give the Entry of the mail ``identity`` (str), locked until the end. Raises Busy or Unavailable.

        Whatever ends it early leaves the row as it was.
        """
        cursor = self._cursor()
        try:
            yield Entry(self, cursor, identity, *self._locked(cursor, identity))
        finally:
            self._rollback()

    def commit(self):
        """Keep what the entry says. Raises Unavailable."""
        with needed("mysql", pymysql.MySQLError):
            self._connection.commit()

    def _locked(self, cursor, identity):
        with needed("mysql", pymysql.MySQLError):
            try:
                # On its own: the row is there whatever happens next.
                cursor.execute("INSERT IGNORE INTO sent_mail (id) VALUES (%s)", (identity,))
                self._connection.begin()
                cursor.execute("SELECT state, attempts FROM sent_mail WHERE id = %s FOR UPDATE", (identity,))
                return cursor.fetchone()
            except pymysql.OperationalError as exc:
                if exc.args[0] == LOCKED:
                    raise Busy(identity) from None
                raise

    def _cursor(self):
        if self._connection is not None:
            try:
                self._connection.ping(reconnect=False)
            except pymysql.MySQLError:
                self._close()
        if self._connection is None:
            self._connection = mysql.connect(self.conf, self.ca_file, autocommit=True, init_command=SETUP)
        return self._connection.cursor()

    def _rollback(self):
        try:
            self._connection.rollback()
        except (pymysql.MySQLError, OSError):
            self._close()

    def _close(self):
        connection, self._connection = self._connection, None
        with contextlib.suppress(pymysql.MySQLError, OSError):
            connection.close()


class Entry:
    """One mail's row."""

    def __init__(self, ledger, cursor, identity, state, attempts):
        self._ledger = ledger
        self._cursor = cursor
        self._id = identity
        self.state = state
        # A buried mail comes back when somebody kicks it: it starts anew.
        self.attempts = 0 if state == "buried" else attempts

    def write(self, state, detail=""):
        """Count one attempt, with its outcome. Raises Unavailable."""
        self.attempts += 1
        with needed("mysql", pymysql.MySQLError):
            self._cursor.execute(
                "UPDATE sent_mail SET state = %s, attempts = %s, detail = %s WHERE id = %s",
                (state, self.attempts, detail[:200], self._id),
            )
            if state == "sent":
                self._cursor.execute(CONFIRM, (self._id,))
        self._ledger.commit()

    def confirm(self):
        """Note in the outbox that it was sent, for one that is known to be. Raises Unavailable."""
        with needed("mysql", pymysql.MySQLError):
            self._cursor.execute(CONFIRM, (self._id,))
        self._ledger.commit()
