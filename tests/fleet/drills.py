"""How large a drill is, and the pages with the figures of those that ran at full size."""

import datetime
import os

from lab.paths import ROOT

RELEASES = ROOT / "docs" / "drills.md"
RELEASES_HEAD = """# Drills

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}. The same
drills run in every `make test`, smaller. *stale* counts answers of the former release after the first one of the new;
*p99.9* is of all requests but those that are made to take two seconds, while the drill's verbs ran, and before.

| drill | verbs | requests | failed | stale | p99.9 before, ms | during, ms | ratio | verb, median s |
|---|---|---|---|---|---|---|---|---|
"""
REPOSITORIES = ROOT / "docs" / "repository-drills.md"
REPOSITORIES_HEAD = """# Drills of the repositories

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}.
`make test` looks at single publications with the same customers. These are real apt and
dnf in the internet of the lab, who look for updates as fast as they can; *half* counts looks that found anything but
one published state, whole.

| drill | customer | publications | looks | failed | half |
|---|---|---|---|---|---|
"""
DATABASES = ROOT / "docs" / "database-drills.md"
DATABASES_HEAD = """# Drills of the databases

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}. The same
drills run in every `make test`, smaller. Eight writers on web02 write all the time, each row in a transaction; *lost*
counts rows that were answered and are not there afterwards, *only there* those that only the former primary had.
*first write* is the time from the command to the first answer of the new primary.

| drill | answered | lost | only there | first write, s | verb, s |
|---|---|---|---|---|---|
"""
QUEUE = ROOT / "docs" / "queue-drills.md"
QUEUE_HEAD = """# Drills of the queue

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}. The same
drills run in every `make test`, smaller. Customers sign up all the time, each again until it is told that it has,
while in turn the queue is killed and its disk wiped, and the database and the mailer are killed. *twice* counts mails
that came more than once: at each cut of the database or the mailer it may be the one that was in hand.

| drill | mails | cuts | lost | twice | seconds |
|---|---|---|---|---|---|
"""
BACKUPS = ROOT / "docs" / "backup-drills.md"
BACKUPS_HEAD = """# Drills of the database's backups

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}. Each backup
was spoiled in one way, in the bucket or while it was made; *found* tells the stage or the words with which
`insync.backup_verify` or `insync.backup` refused it. Nothing was recorded as a good backup, and the replica went on.

| drill | what came of it |
|---|---|
"""
REBUILDS = ROOT / "docs" / "rebuild-drills.md"
REBUILDS_HEAD = """# Drills of lost servers

What `make drills` measured on {cpus} processors shared with the whole fleet; each server's row is of the day it was
last lost. Its container was removed, made anew from a bare droplet's image, and brought back as
[rebuild.md](rebuild.md) tells; its data was the same afterwards, and a further highstate changed nothing. *all* counts
from the loss to the end.

| server | all, s | minion | highstate | restore | highstate again | check | day |
|---|---|---|---|---|---|---|---|
"""
POWER = ROOT / "docs" / "power-drills.md"
POWER_HEAD = """# Drills of power cuts

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}. Eight clients
write all the time, and note what they are answered; the file system under the server's data is shut down at once, its
processes are killed, the file system is mounted again, and the server is started. *lost* counts what was answered and
is not there afterwards, *not in the log* rows of the database that are missing in its binary log, which replicas and
backups are made from. What is set as the fleet has it loses nothing; the others are started beside it for the drill, as
it would be without: they have to lose something, or the drill sees nothing. A disk that loses what it has said to keep
is not played.

| what | set | cuts | answered | lost | not in the log |
|---|---|---|---|---|---|
"""
RETIRED = ROOT / "docs" / "retired-drills.md"
RETIRED_HEAD = """# Drills of roles that leave

What `make drills` measured when it was last run, on {cpus} processors shared with the whole fleet, {day}. All these
servers left their roles at once, and came back to them; what servers that are not here play leaves another one here,
or moves, with its data removed, in every `make test`. *gone* counts the paths, units, packages and users of the roles'
states that could be asked for afterwards and were not there any more; what stays is what `insync.remove_data` told, and
what users had given the roles was there when they came back: where it was, or, of servers whose data was removed then,
from the backup. Nothing listened that was not declared.

| server | left | gone | stays: data | stays: users |
|---|---|---|---|---|
"""


class Drills:
    """Sizes, and figures."""

    def __init__(self, full):
        """full (bool): whether drills run at full size, and their figures are kept."""
        self.full, self.releases, self.repositories, self.databases = full, [], [], []
        self.queue, self.backups, self.rebuilds, self.power, self.retired = [], [], [], [], []

    def size(self, small, full):
        """Return the number that is wanted: ``small`` in every test run, or ``full``."""
        return full if self.full else small

    def note(self, name, verbs, report, seconds):
        """
        Keep what a load saw.

        name (str): the drill. verbs (int): how many ran. report (tests.fleet.load.Report). seconds (list of float): of
        each verb.
        """
        before, during = (report.windows[0]["ms"]["p99.9"], report.window("verbs")["ms"]["p99.9"])
        figures = [verbs, report.sent, report.failed_count, report.stale, before, during, round(during / before, 2)]
        self.releases.append([name, *figures, sorted(seconds)[len(seconds) // 2]])

    def note_customer(self, name, customer, publications, looks, failed, half):
        """Keep what a customer of the repositories saw: two names (str), and four numbers as the page has them."""
        self.repositories.append([name, customer, publications, looks, failed, half])

    def note_database(self, name, answered, lost, errant, first, seconds):
        """Keep what writers saw of a switch: a name (str), and five numbers as the page has them."""
        self.databases.append([name, answered, lost, errant, round(first, 1), round(seconds, 1)])

    def note_queue(self, name, mails, cuts, lost, twice, seconds):
        """Keep what became of mails: a name (str), and five numbers as the page has them."""
        self.queue.append([name, mails, cuts, lost, twice, round(seconds)])

    def note_backup(self, name, outcome):
        """Keep what came of a drill of backups: a name, and the outcome with its figures (str)."""
        self.backups.append([name, outcome])

    def note_rebuild(self, server, seconds, phases):
        """Keep how long a lost ``server`` (str) took to come back; phases (dict): of the verb, in seconds."""
        restore = sum(value for name, value in phases.items() if name.startswith("restore"))
        parts = [phases.get("minion"), phases.get("highstate"), restore if phases else None]
        parts += [phases.get("highstate again"), phases.get("check")]
        told = ("" if part is None else round(part, 1) for part in parts)
        self.rebuilds.append([server, round(seconds), *told, datetime.datetime.now(datetime.UTC).date()])

    def note_power(self, name, setting, cuts, answered, lost, unlogged=""):
        """Keep what was lost at power cuts: two names (str), and four numbers as the page has them."""
        self.power.append([name, setting, cuts, answered, lost, unlogged])

    def note_retired(self, server, roles, gone, folders, users):
        """Keep how many things (int) went with the ``roles`` (list of str) of a server; and what stays (two lists)."""
        self.retired.append([server, *(", ".join(map(str, told)) for told in (roles, [gone], folders, users))])

    def write(self):
        """Write the pages of the drills that ran."""
        day = datetime.datetime.now(datetime.UTC).date()
        pages = [
            (RELEASES, RELEASES_HEAD, self.releases),
            (REPOSITORIES, REPOSITORIES_HEAD, self.repositories),
            (DATABASES, DATABASES_HEAD, self.databases),
            (QUEUE, QUEUE_HEAD, self.queue),
            (BACKUPS, BACKUPS_HEAD, self.backups),
            (REBUILDS, REBUILDS_HEAD, self.rebuilds),
            (POWER, POWER_HEAD, self.power),
            (RETIRED, RETIRED_HEAD, self.retired),
        ]
        for page, head, rows in pages:
            if rows:
                lines = [*(_others(page, rows) if page == REBUILDS else []), *map(_line, rows)]
                page.write_text(head.format(cpus=os.cpu_count(), day=day) + "".join(lines), encoding="utf-8")


def _line(row):
    return "| " + " | ".join(map(str, row)) + " |\n"


def _others(page, rows):
    """The lines that ``page`` has of servers that are none of ``rows``: all of them take longer than one run may."""
    _, _, there = page.read_text(encoding="utf-8").partition("|---|\n")
    names = tuple(f"| {row[0]} |" for row in rows)
    return [line for line in there.splitlines(keepends=True) if not line.startswith(names)]
