"""
The periodic mailer: once in every period, a digest for each user that wants one.

A period has a number, the time divided by `interval_seconds`. A row in `digests` says that a user's digest of a period
is queued; the job is put before the row is written, and its id follows from both, so that after a kill between the two
the mailer drops the double. Only the current period is done: what a downtime missed is not made up for.
"""

import time
import uuid

import pymysql
import redis
from insync_core import cache, log, mail, mysql, program, queue
from insync_core.errors import needed
from insync_core.worker import Worker

from insync_mailer import _build

NEEDS = {
    "interval_seconds": int,
    "subject": str,
    "mail_from": str,
    "mysql": mysql.NEEDS,
    "redis": cache.NEEDS,
    "beanstalkd": queue.NEEDS,
}
LOCK = "periodic_mailer:lock"
LOCK_SECONDS = 15
BATCH = 50
TEXT = "Hello,\n\nthis is your digest number {period}.\n"
DUE = (
    "SELECT users.id, users.email FROM insync.users AS users"
    " LEFT JOIN digests ON digests.user_id = users.id AND digests.period = %s"
    " WHERE users.digest AND digests.user_id IS NULL ORDER BY users.id LIMIT %s"
)


class Periodic:
    """Queues the digests of the current period, if nobody else is at it."""

    def __init__(self, conf):
        self.conf = conf
        self.stats = {"queued": 0, "period": None}
        self._me = str(uuid.uuid4())

    def step(self, stop):
        """Do the current period, or wait a second; ``stop`` (threading.Event) ends it early. Raises Unavailable."""
        values = self.conf.values()
        period = int(time.time()) // values["interval_seconds"]
        if period == self.stats["period"] or not self._lock(values, nx=True):
            stop.wait(1)
            return
        try:
            if self._queue_all(values, period, stop):
                self.stats["period"] = period
                log.say("period", period=period, queued=self.stats["queued"])
        finally:
            self._unlock(values)

    def _queue_all(self, values, period, stop):
        """Return whether all is queued; SIGTERM ends it between two batches."""
        ca_file = self.conf.settings.ca_file
        with queue.producer(values["beanstalkd"]) as put:
            with mysql.connect(values["mysql"], ca_file, autocommit=True) as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    if not self._queue_batch(values, period, put, cursor):
                        return True
                    # Others wait as long as this one is at it.
                    self._lock(values, xx=True)
        return False

    def _queue_batch(self, values, period, put, cursor):
        with needed("mysql", pymysql.MySQLError):
            cursor.execute(DUE, (period, BATCH))
            rows = cursor.fetchall()
            for user, address in rows:
                self._queue_one(values, period, put, user, address)
                cursor.execute("INSERT IGNORE INTO digests (period, user_id) VALUES (%s, %s)", (period, user))
        return len(rows)

    def _queue_one(self, values, period, put, user, address):
        text = TEXT.format(period=period)
        put(mail.Mail(f"digest-{period}-{user}", address, values["subject"], text, values["mail_from"]).job())
        self.stats["queued"] += 1

    def _lock(self, values, **how):
        client = cache.client(values["redis"], self.conf.settings.ca_file)
        with needed("redis", redis.RedisError):
            return client.set(LOCK, self._me, ex=LOCK_SECONDS, **how)

    def _unlock(self, values):
        client = cache.client(values["redis"], self.conf.settings.ca_file)
        with needed("redis", redis.RedisError):
            if client.get(LOCK) == self._me:
                client.delete(LOCK)


def main():
    """Run until SIGTERM."""
    conf = program.conf(NEEDS)
    checks = {
        "mysql": lambda: mysql.check(conf.values()["mysql"], conf.settings.ca_file, "digests"),
        "redis": lambda: cache.check(conf.values()["redis"], conf.settings.ca_file),
        "beanstalkd": lambda: queue.check(conf.values()["beanstalkd"]),
    }
    periodic = Periodic(conf)
    Worker("insync-periodic-mailer", _build, checks, conf, periodic.stats).run(periodic.step)
