"""The forum's database and accounts: its own commands, run as its user; and how it moves to a new release."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import insync_postgresql
import insync_systemd
import insync_venv

# What the next release works on, and what the one before had.
NEW, BEFORE = "misago_new", "misago_before"
BACKUPS = "backups"
# How many backups are kept: each is what was there before a new release.
KEPT = 3
SECONDS = 900


class MisagoError(ValueError):
    """Misago's commands refuse; the message is one line that says why."""


_FAILURES = (MisagoError, insync_postgresql.DatabaseError, insync_systemd.UnitError, OSError)


class Misago:
    """One that is installed: folders of its files and of its settings, and the name of its database in PostgreSQL."""

    def __init__(self, data, settings, database, user="misago", group="www-data"):
        self.data, self.settings, self.database = pathlib.Path(data), settings, database
        self.user, self.group = user, group

    def is_there(self):
        """Return whether it has a database already; there is none that is not complete."""
        return insync_postgresql.has(self.database)

    def run(self, command, *, database=None, stdin=""):
        """
        Run ``command`` (list of str) as its user; return what it prints.

        database (str): that it works on; its own if left out.
        stdin (str): what it reads; secrets come in here, never in arguments.
        Raises MisagoError with the last line that it says.
        """
        environment = [f"PYTHONPATH={self.settings}", "DJANGO_SETTINGS_MODULE=misago_conf", "PYTHONWARNINGS=ignore"]
        environment += ["PYTHONDONTWRITEBYTECODE=1", f"MISAGO_DATABASE={database or self.database}"]
        options = {"input": stdin, "capture_output": True, "text": True, "cwd": "/", "umask": 0o027, "check": False}
        command = [*_as(self.user, self.group), "env", *environment, *command]
        try:
            done = subprocess.run(command, timeout=SECONDS, **options)
        except subprocess.TimeoutExpired as exc:
            raise MisagoError(f"{command[-1]}: no end after {SECONDS} s") from exc
        except OSError as exc:
            raise MisagoError(f"{exc.filename}: {exc.strerror}") from exc
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no reason is told"]
            raise MisagoError(said[-1][:300])
        return done.stdout

    def migrated_copy(self, home):
        """Make the database ``misago_new``: what is there, if anything, as the release in ``home`` (Path) wants it."""
        insync_postgresql.drop(NEW)
        insync_postgresql.make(NEW, self.user, self.database if self.is_there() else "template0")
        self.run([f"{home}/bin/django-admin", "migrate", "--no-input", "--verbosity=0"], database=NEW)

    def adopt(self):
        """Put ``misago_new`` in the place of the database; that stays as ``misago_before``."""
        insync_postgresql.drop(BEFORE)
        insync_postgresql.rename(*([(self.database, BEFORE)] if self.is_there() else []), (NEW, self.database))

    def give_back(self):
        """Put ``misago_before`` in its place again."""
        insync_postgresql.rename((self.database, NEW), (BEFORE, self.database))

    def backup(self, release):
        """Write all of the database to a file named by the time and by ``release`` (str), which it belongs to."""
        folder = self.data / BACKUPS
        self.run(["mkdir", "-p", "-m", "0700", str(folder)])
        path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{release}.dump"
        # One that was cut off would pass for all of it.
        part = path.with_suffix(".part")
        self.run(["pg_dump", "--format=custom", f"--dbname={self.database}", f"--file={part}"])
        part.replace(path)
        self._prune_backups()

    def forget(self, home):
        """Empty the cache, which is of another database or of another release than that in ``home`` (pathlib.Path)."""
        clear = "import django; django.setup(); from django.core.cache import cache; cache.clear()"
        self.run([f"{home}/bin/python", "-c", clear])

    def prune(self):
        """Remove the oldest backups, and the databases of an upgrade that has ended."""
        self._prune_backups()
        for database in (BEFORE, NEW):
            insync_postgresql.drop(database)

    def _prune_backups(self):
        """The newest one of each release stays, of the newest KEPT: an upgrade that fails every time leaves one."""
        newest = {path.stem.rpartition("-")[2]: path for path in self._backups()}
        kept = sorted(newest.values())[-KEPT:]
        for path in [*self._backups(), *(self.data / BACKUPS).glob("*.part")]:
            if path not in kept:
                path.unlink()

    def _backups(self):
        return sorted((self.data / BACKUPS).glob("*.dump"))


def _as(user, group):
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--no-new-privs", "--reset-env"]


def collect_static(misago, home):
    """Put links to what browsers load into the folder ``static`` of the virtualenv ``home`` (pathlib.Path)."""
    static = pathlib.Path(home, "static")
    shutil.rmtree(static, ignore_errors=True)
    static.mkdir()
    shutil.chown(static, misago.user)
    misago.run([f"{home}/bin/django-admin", "collectstatic", "--no-input", "--link", "--verbosity=0"])
    # For nginx to read, and for nobody but root to change.
    for path in (static, *static.rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def provision(misago, program, script, wanted):
    """
    Bring the administrator and the settings in step; return what differed, ``{name: {"old": ..., "new": ...}}``.

    misago (Misago). program (str): its virtualenv.
    script (str): path of provision.py, which tells what ``wanted`` (dict) is.
    Raises MisagoError.
    """
    said = misago.run([f"{program}/bin/python", script], stdin=json.dumps(wanted))
    try:
        return json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise MisagoError(f"{script} printed no JSON") from None


def upgrade(misago, home, link, units):
    """
    Let the release in ``home`` (pathlib.Path) serve, with a migrated database, instead of the one before.

    The units stand still meanwhile. It works on a copy of the database; if that fails, or the new release does not
    start, the one before serves again, with its database as it was. That is in a backup, too.

    misago (Misago). link (pathlib.Path): what leads to the release in service. units (list of str).
    Raises MisagoError, insync_postgresql.DatabaseError or insync_systemd.UnitError.
    """
    before = pathlib.Path(os.path.realpath(link)) if link.is_symlink() else None
    expected, had, adopted = insync_systemd.expected(units), misago.is_there(), False
    try:
        insync_systemd.stop(units)
        if had:
            misago.backup(before.name.rpartition("-")[2] if before else "unknown")
        misago.migrated_copy(home)
        misago.adopt()
        adopted = True
        misago.forget(home)
        insync_venv.switch(link, home)
        insync_systemd.start(expected)
    except _FAILURES as exc:
        try:
            _back(misago, before, link, expected, adopted and had)
        except _FAILURES as again:
            raise MisagoError(f"{exc}; nor does the one before serve again: {again}") from exc
        raise
    misago.prune()


def _back(misago, before, link, expected, adopted):
    """Without a release before there is none to start, and none may seem to be in service."""
    if adopted:
        insync_systemd.stop(expected)
        misago.give_back()
        link.unlink(missing_ok=True)
    if before:
        insync_venv.switch(link, before)
        insync_systemd.start(expected)
