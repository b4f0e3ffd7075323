"""The Sentry server's databases and accounts: its own commands, run as its user; and how it moves to a new release."""

import json
import os
import pathlib
import subprocess
import time

import insync_systemd
import insync_venv

DATABASE = "db.sqlite3"
BACKUPS = "backups"
# How many backups are kept: each is what was there before a new release.
KEPT = 3
SECONDS = 600


class BugsinkError(ValueError):
    """Bugsink's commands or its databases refuse; the message is one line that says why."""


class CommandError(BugsinkError):
    """One of Bugsink's commands ends badly, or is not there."""


_FAILURES = (BugsinkError, insync_systemd.UnitError, OSError)


class Bugsink:
    """One that is installed: its databases are in the folder ``data``, its settings in the folder ``settings``."""

    def __init__(self, data, settings, user):
        self.data, self.settings, self.user = pathlib.Path(data), settings, user

    def is_there(self):
        """Return whether it has a database already."""
        return (self.data / DATABASE).exists()

    def run(self, command, *, databases=None, stdin=""):
        """
        Run ``command`` (list of str) as its user; return what it prints.

        databases (pathlib.Path): the folder whose databases are used, instead of those in service.
        stdin (str): what it reads; secrets come in here, never in arguments.
        Raises CommandError with the last line that it says.
        """
        environment = [f"PYTHONPATH={self.settings}", "DJANGO_SETTINGS_MODULE=bugsink_conf", "PYTHONWARNINGS=ignore"]
        environment += ["PYTHONDONTWRITEBYTECODE=1", f"BUGSINK_DATABASES={databases or self.data}"]
        options = {"input": stdin, "capture_output": True, "text": True, "cwd": self.data, "umask": 0o077}
        command = [*_as(self.user), "env", *environment, *command]
        try:
            done = subprocess.run(command, timeout=SECONDS, check=False, **options)
        except subprocess.TimeoutExpired as exc:
            raise CommandError(f"{command[-1]}: no end after {SECONDS} s") from exc
        except OSError as exc:
            raise CommandError(f"{exc.filename}: {exc.strerror}") from exc
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no reason is told"]
            raise CommandError(said[-1][:300])
        return done.stdout

    def migrated_copy(self, program, script):
        """
        Return the folder (pathlib.Path) with copies of the databases as the release in ``program`` wants them.

        What is in service is only read. script (str): path of databases.py.
        """
        copy = self.data / "new"
        manage = f"{program}/bin/bugsink-manage"
        try:
            self._databases(script, "copy", self.data, copy)
            self.run([manage, "migrate", "--no-input"], databases=copy)
            self.run([manage, "migrate", "snappea", "--database=snappea", "--no-input"], databases=copy)
        except BugsinkError:
            self._remove(copy)
            raise
        return copy

    def adopt(self, copy, script, release):
        """
        Put the databases of ``copy`` in the place of the present ones; return where these stay (pathlib.Path).

        release (str): that the present ones belong to.
        """
        backup = self.data / BACKUPS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{release}"
        self._databases(script, "adopt", copy, self.data, backup)
        return backup

    def restore(self, backup, script):
        """Put the databases of the folder ``backup`` (pathlib.Path) in the place of the present ones, and it away."""
        self._databases(script, "restore", backup, self.data)
        self._remove(backup)

    def prune(self):
        """Remove the oldest backups; KEPT stay."""
        for old in sorted((self.data / BACKUPS).glob("*-*"))[:-KEPT]:
            self._remove(old)

    def _remove(self, folder):
        self.run(["rm", "-rf", "--", str(folder)])

    def _databases(self, script, *words):
        self.run(["/usr/bin/python3", script, *map(str, words)])


def _as(user):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs", "--reset-env"]


def provision(bugsink, program, script, wanted):
    """
    Bring accounts and projects in step; return what differed, ``{name: {"old": ..., "new": ...}}``.

    bugsink (Bugsink). program (str): its virtualenv.
    script (str): path of provision.py, which tells what ``wanted`` (dict) is.
    Raises BugsinkError.
    """
    said = bugsink.run([f"{program}/bin/python", script], stdin=json.dumps(wanted))
    try:
        return json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise BugsinkError(f"{script} printed no JSON") from None


def upgrade(bugsink, home, link, script, units):
    """
    Let the release in ``home`` (pathlib.Path) serve, with migrated databases, instead of the one before.

    It is tried on copies first, while the one before serves; if that fails, nothing has happened. Then the units stand
    still for as long as it takes once more. If that fails, or the new release does not start, the one before serves
    again, with its databases as they were.

    bugsink (Bugsink). script (str): path of databases.py.
    link (pathlib.Path): what leads to the release in service. units (list of str).
    Raises BugsinkError or insync_systemd.UnitError.
    """
    before = pathlib.Path(os.path.realpath(link))
    if bugsink.is_there():
        bugsink.migrated_copy(home, script)
    expected, backup = insync_systemd.expected(units), None
    try:
        insync_systemd.stop(units)
        backup = bugsink.adopt(bugsink.migrated_copy(home, script), script, before.name.rpartition("-")[2])
        insync_venv.switch(link, home)
        insync_systemd.start(expected)
    except _FAILURES as exc:
        try:
            _back(bugsink, before, link, script, expected, backup)
        except _FAILURES as again:
            raise BugsinkError(f"{exc}; nor does the one before serve again: {again}") from exc
        raise
    bugsink.prune()


def _back(bugsink, before, link, script, expected, backup):
    """Without a release before there is none to start; the databases of a first one stay."""
    if backup and backup.is_dir():
        insync_systemd.stop(expected)
        bugsink.restore(backup, script)
        link.unlink(missing_ok=True)
    if before.is_dir():
        insync_venv.switch(link, before)
        insync_systemd.start(expected)


def wanted_projects(projects, secret):
    """
    Return ``projects`` (dict: name -> {number, key, max_events}) with the keys themselves.

    secret (callable): where in the secrets -> the secret.
    Raises BugsinkError for a key that is none, and for a number that is there twice.
    """
    numbers = [project["number"] for project in projects.values()]
    if len(set(numbers)) != len(numbers):
        raise BugsinkError("two projects have the same number")
    return {name: {**project, "key": _key(project["key"], secret)} for name, project in projects.items()}


def _key(where, secret):
    value = secret(where)
    if len(value) != 32 or set(value) - set("0123456789abcdef"):
        raise BugsinkError(f"the secret {where} is no key: it has to be 32 digits from 0 to f")
    return value
