"""
The mailer: takes jobs from the queue and sends them as mails; beside it the relay moves mails from the outbox there.

A mail is refused for now (4xx): its job is released with a delay, twice as long each time, `retry.attempts` tries in
all, then buried.
Refused for good (5xx), or no mail at all: buried at once. What is not about the mail (SMTP, MySQL, beanstalkd or the
conf is not there, the password is wrong) counts as no try: the job goes back and everything waits. A relay that ends at
a mail counts as no try either, but the others go first.
"""

import contextlib

import greenstalk
from insync_core import log, mail, mysql, outbox, program, queue
from insync_core.errors import needed
from insync_core.worker import Worker

from insync_mailer import _build, relay, smtp
from insync_mailer.ledger import Busy, Ledger

NEEDS = {
    "beanstalkd": queue.NEEDS,
    "mysql": mysql.NEEDS,
    "smtp": smtp.NEEDS,
    "retry": {"attempts": int, "delay_seconds": int},
    "outbox": relay.NEEDS,
}
WAIT_SECONDS = 2
# A job that may be reserved for less than a mail can take would be sent by two.
SHORTEST_TTR = 110
LONGEST_DELAY = 3600


class Mailer:
    """Takes one job at a time."""

    def __init__(self, conf):
        self.conf = conf
        self.stats = {"sent": 0, "retried": 0, "buried": 0, "doubles": 0, "relayed": 0, "relayed_again": 0}
        # Sent, but MySQL was not there to write it down.
        self._unwritten = set()
        self._queue, self._queue_of = None, None
        self._ledger = None

    def step(self, _stop=None):
        """Wait a little for a job and do it. Raises Unavailable."""
        values = self.conf.values()
        self._connect(values)
        try:
            with needed("beanstalkd", greenstalk.Error):
                self._take(values)
        except BaseException:
            # With the connection the job goes back, whatever was wrong.
            self.close()
            raise

    def close(self):
        """End the connection to the queue."""
        client, self._queue = self._queue, None
        if client is not None:
            with contextlib.suppress(OSError):
                client.close()

    def _connect(self, values):
        if values["beanstalkd"] != self._queue_of:
            self.close()
        if self._queue is None:
            self._queue = queue.connect(values["beanstalkd"], wait=WAIT_SECONDS)
            self._queue_of = values["beanstalkd"]
        if self._ledger is None or self._ledger.conf != values["mysql"]:
            self._ledger = Ledger(values["mysql"], self.conf.settings.ca_file)

    def _take(self, values):
        try:
            job = self._queue.reserve(timeout=WAIT_SECONDS)
        except greenstalk.TimedOutError:
            return
        try:
            mailing = mail.parse(job.body)
            ttr = self._queue.stats_job(job)["ttr"]
            if ttr < SHORTEST_TTR:
                raise mail.Malformed(f"its ttr of {ttr} s is shorter than {SHORTEST_TTR} s, which a mail may take")
        except mail.Malformed as exc:
            self._bury(job, str(exc))
            return
        try:
            with self._ledger.entry(mailing.id) as entry:
                self._send(values, job, mailing, entry)
        except Busy:
            self._queue.release(job, delay=values["retry"]["delay_seconds"])

    def _send(self, values, job, mailing, entry):
        if entry.state == "sent":
            self.stats["doubles"] += 1
            log.say("double", id=mailing.id)
            entry.confirm()
            self._queue.delete(job)
            return
        try:
            if mailing.id not in self._unwritten:
                smtp.send(values["smtp"], mailing)
                self._unwritten.add(mailing.id)
        except smtp.Never as exc:
            entry.write("buried", str(exc))
            self._bury(job, str(exc), mailing.id)
        except smtp.Later as exc:
            self._later(values["retry"], job, mailing, entry, str(exc))
        except smtp.HungUp as exc:
            # No try of it; but were it not put off, it would be the first again, and no other mail be sent.
            log.say("put-off", id=mailing.id, reason=str(exc))
            self._queue.release(job, delay=values["retry"]["delay_seconds"])
        else:
            self._sent(job, mailing, entry)

    def _sent(self, job, mailing, entry):
        entry.write("sent")
        self._unwritten.discard(mailing.id)
        self.stats["sent"] += 1
        log.say("sent", id=mailing.id, attempts=entry.attempts)
        self._queue.delete(job)

    def _later(self, retry, job, mailing, entry, said):
        if entry.attempts + 1 >= retry["attempts"]:
            entry.write("buried", said)
            self._bury(job, f"{entry.attempts} tries: {said}", mailing.id)
            return
        entry.write("retry", said)
        self.stats["retried"] += 1
        log.say("retry", id=mailing.id, attempts=entry.attempts, reason=said)
        self._queue.release(job, delay=delay(retry, entry.attempts))

    def _bury(self, job, why, identity=None):
        self.stats["buried"] += 1
        log.say("buried", job=job.id, id=identity, reason=why)
        self._queue.bury(job)


def delay(retry, attempts):
    """Return for how many seconds a mail waits after ``attempts`` (int) tries; ``retry`` (dict): what NEEDS names."""
    return min(retry["delay_seconds"] * 2 ** (attempts - 1), max(LONGEST_DELAY, retry["delay_seconds"]))


def main():
    """Run until SIGTERM."""
    conf = program.conf(NEEDS)
    mailer = Mailer(conf)
    mover = relay.Relay(conf, mailer.stats)
    checks = {
        "beanstalkd": lambda: queue.check(conf.values()["beanstalkd"]),
        "mysql": lambda: outbox.check(conf.values()["mysql"], conf.settings.ca_file, "sent_mail"),
        "smtp": lambda: smtp.check(conf.values()["smtp"]),
    }
    worker = Worker("insync-mailer", _build, checks, conf, mailer.stats, {"/outbox": mover.outbox})
    worker.run(mailer.step, mover.step)
    mailer.close()
