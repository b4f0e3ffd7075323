"""
The relay: puts the mails of the outbox into the queue, and again where the queue has lost them.

It runs in the mailer's process: what moves mails on has the mailer's account, its release and its watchdog, and alone
it would be of no use. Several share the work: each takes rows that no other has in hand.

A mail that is not confirmed after `again_seconds` is looked for in the queue, under the number of its job and with the
same body: a queue that has lost its disk counts from 1 again. Only if it is not there it is put once more. A double is
dropped by the mailer, which knows the mail's id.
"""

import contextlib

import greenstalk
import pymysql
from insync_core import log, mysql, outbox, queue
from insync_core.errors import needed

NEEDS = {"again_seconds": int, "kept_seconds": int}
BATCH = 50
PAUSE = 0.5
# No row is locked for longer than a statement takes, neither here nor where web adds one.
SETUP = "SET SESSION innodb_lock_wait_timeout = 1, tx_isolation = 'READ-COMMITTED'"
DUE = (
    f"SELECT id, body, job FROM {outbox.TABLE} WHERE delivered_at IS NULL AND again_at <= CURRENT_TIMESTAMP"
    " ORDER BY again_at LIMIT %s FOR UPDATE SKIP LOCKED"
)
LATER = f"UPDATE {outbox.TABLE} SET again_at = CURRENT_TIMESTAMP + INTERVAL %s SECOND WHERE id IN %s"
PUT = f"UPDATE {outbox.TABLE} SET job = %s, puts = puts + 1, detail = '' WHERE id = %s"
REFUSED = f"UPDATE {outbox.TABLE} SET detail = %s WHERE id = %s"
OLD = f"DELETE FROM {outbox.TABLE} WHERE delivered_at < CURRENT_TIMESTAMP - INTERVAL %s SECOND LIMIT 100"
COUNTS = (
    "SELECT COALESCE(SUM(mails.job IS NULL), 0), COALESCE(SUM(mails.job IS NOT NULL AND NOT dead), 0),"
    " COALESCE(SUM(dead), 0), COALESCE(SUM(detail <> ''), 0), COALESCE(MAX(IF(dead, 0, age)), 0) FROM ("
    " SELECT outbox.job, outbox.detail, COALESCE(sent_mail.state = 'buried', FALSE) AS dead,"
    " TIMESTAMPDIFF(SECOND, outbox.created_at, CURRENT_TIMESTAMP) AS age"
    f" FROM {outbox.TABLE} AS outbox LEFT JOIN sent_mail ON sent_mail.id = outbox.id"
    " WHERE outbox.delivered_at IS NULL) AS mails"
)


class Relay:
    """Keeps a connection to the database and one to the queue; ``stats`` (dict) counts what it puts."""

    def __init__(self, conf, stats):
        self.conf = conf
        self.stats = stats
        self._database, self._database_of = None, None
        self._queue, self._queue_of = None, None

    def step(self, stop):
        """Put what is due, or wait a little; ``stop`` (threading.Event) ends it early. Raises Unavailable."""
        values = self.conf.values()
        try:
            # First the queue: what cannot be put is not taken either.
            self._connect(values)
            if not self._batch(values["outbox"], stop):
                self._forget(values["outbox"])
                stop.wait(PAUSE)
        except BaseException:
            self.close()
            raise

    def close(self):
        """End both connections."""
        for client in (self._queue, self._database):
            with contextlib.suppress(OSError, pymysql.MySQLError):
                if client is not None:
                    client.close()
        self._queue = self._database = None

    def outbox(self):
        """
        Return what the outbox holds that was not sent (dict). Raises Unavailable.

        waiting: never put into the queue. unconfirmed: put, and neither sent nor buried. buried: given up by the
        mailer. refused: the queue does not take them. oldest_seconds: of the oldest that is not buried.
        """
        conf, ca_file = self.conf.values()["mysql"], self.conf.settings.ca_file
        with needed("mysql", pymysql.MySQLError), mysql.connect(conf, ca_file) as connection:
            with connection.cursor() as cursor:
                cursor.execute(COUNTS)
                names = ("waiting", "unconfirmed", "buried", "refused", "oldest_seconds")
                return dict(zip(names, map(int, cursor.fetchone()), strict=True))

    def _connect(self, values):
        if values["beanstalkd"] != self._queue_of or values["mysql"] != self._database_of:
            self.close()
        if self._queue is None:
            self._queue, self._queue_of = queue.connect(values["beanstalkd"]), values["beanstalkd"]
        if self._database is None:
            ca_file = self.conf.settings.ca_file
            self._database = mysql.connect(values["mysql"], ca_file, autocommit=True, init_command=SETUP)
            self._database_of = values["mysql"]

    def _batch(self, declared, stop):
        """Return whether there was something to do."""
        with needed("mysql", pymysql.MySQLError), self._database.cursor() as cursor:
            rows = self._take(cursor, declared["again_seconds"])
            done = 0
            try:
                while done < len(rows) and not stop.is_set():
                    self._put(cursor, *rows[done])
                    done += 1
            finally:
                self._give_back(cursor, [row[0] for row in rows[done:]])
        return bool(rows)

    def _take(self, cursor, seconds):
        self._database.begin()
        cursor.execute(DUE, (BATCH,))
        rows = cursor.fetchall()
        if rows:
            # Nobody else looks at them meanwhile; if this process is killed now, they wait as long as one that is lost.
            cursor.execute(LATER, (seconds, [row[0] for row in rows]))
        self._database.commit()
        return rows

    def _give_back(self, cursor, ids):
        if ids:
            cursor.execute(LATER, (0, ids))

    def _put(self, cursor, identity, body, job):
        with needed("beanstalkd", greenstalk.Error):
            if job is not None and self._is_there(job, body):
                return
            try:
                put = self._queue.put(body, ttr=queue.TTR)
            except greenstalk.JobTooBigError:
                log.say("refused", id=identity, reason="too large for the queue")
                cursor.execute(REFUSED, ("too large for the queue", identity))
                return
        cursor.execute(PUT, (put, identity))
        self.stats["relayed" if job is None else "relayed_again"] += 1
        if job is not None:
            log.say("relayed-again", id=identity, job=put)

    def _is_there(self, job, body):
        try:
            return self._queue.peek(job).body == body
        except greenstalk.NotFoundError:
            return False

    def _forget(self, declared):
        with needed("mysql", pymysql.MySQLError), self._database.cursor() as cursor:
            cursor.execute(OLD, (declared["kept_seconds"],))
