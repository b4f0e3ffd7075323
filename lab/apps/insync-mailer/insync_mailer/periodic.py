"""
The periodic mailer: once in every period, a digest for each user that wants one, into the outbox.

A period has a number, the time divided by `interval_seconds`. A row in `digests` says that a user's digest of a period
is in the outbox: both are written in one transaction, and the mail's id follows from both. Only the current period is
done: what a downtime missed is not made up for.
"""

import time
import uuid

import redis
from insync_core import cache, log, mail, mysql, outbox, program
from insync_core.errors import needed
from insync_core.worker import Worker

from insync_mailer import _build

NEEDS = {
    "interval_seconds": int,
    "subject": str,
    "mail_from": str,
    "mysql": mysql.NEEDS,
    "redis": cache.NEEDS,
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
        while not stop.is_set():
            with mysql.transaction(values["mysql"], ca_file) as cursor:
                rows = self._queue_batch(values, period, cursor)
            if not rows:
                return True
            self.stats["queued"] += rows
            # Others wait as long as this one is at it.
            self._lock(values, xx=True)
        return False

    def _queue_batch(self, values, period, cursor):
        cursor.execute(DUE, (period, BATCH))
        rows = cursor.fetchall()
        for user, address in rows:
            text = TEXT.format(period=period)
            cursor.execute("INSERT IGNORE INTO digests (period, user_id) VALUES (%s, %s)", (period, user))
            outbox.add(
                cursor,
                mail.Mail(f"digest-{period}-{user}", address, values["subject"], text, values["mail_from"]),
            )
        return len(rows)

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
        "mysql": lambda: outbox.check(conf.values()["mysql"], conf.settings.ca_file, "digests"),
        "redis": lambda: cache.check(conf.values()["redis"], conf.settings.ca_file),
    }
    periodic = Periodic(conf)
    Worker("insync-periodic-mailer", _build, checks, conf, periodic.stats).run(periodic.step)
