"""The revisions, in sqlite: every one with all of its values, so that none is ever lost and each can come back."""

import contextlib
import datetime
import json
import os
import sqlite3

from insync_core.errors import needed

from insync_conf_server.values import same

SECONDS = 5
TABLE = (
    "CREATE TABLE IF NOT EXISTS revisions"
    " (ns TEXT NOT NULL, rev INTEGER NOT NULL, at TEXT NOT NULL, conf TEXT NOT NULL, PRIMARY KEY (ns, rev))"
)


class NoRevision(Exception):
    """There is no such revision."""


class Store:
    """Keeps the revisions in ``path`` (pathlib.Path), readable by the owner only."""

    def __init__(self, path):
        self.path = path

    def latest(self, ns):
        """Return (rev, values); revision 0 has none."""
        with self._open() as database:
            return _latest(database, ns)

    def revisions(self, ns):
        """Return a list of {"rev": n, "at": time}, the newest first."""
        with self._open() as database:
            rows = database.execute("SELECT rev, at FROM revisions WHERE ns = ? ORDER BY rev DESC", (ns,))
            return [{"rev": rev, "at": at} for rev, at in rows]

    def merge(self, ns, values, *, prune=False, dry_run=False):
        """
        Add and update ``values`` (dict); return the keys added, updated and removed, how many are unchanged, and rev.

        prune (bool): remove the keys that ``values`` lacks.
        dry_run (bool): change nothing.
        """

        def change(_database, now):
            return values if prune else {**now, **values}

        return self._change(ns, change, dry_run)

    def remove(self, ns, names, *, dry_run=False):
        """Remove the keys ``names`` (list of str); return what merge does."""
        return self._change(ns, lambda _, now: {name: now[name] for name in now if name not in names}, dry_run)

    def revert(self, ns, rev, *, dry_run=False):
        """Make a new revision out of ``rev`` (int); return what merge does. Raises NoRevision."""

        def change(database, _now):
            row = database.execute("SELECT conf FROM revisions WHERE ns = ? AND rev = ?", (ns, rev)).fetchone()
            if row is None:
                raise NoRevision(f"{ns} has no revision {rev}")
            return json.loads(row[0])

        return self._change(ns, change, dry_run)

    def check(self):
        """Return a detail for readiness: the store can be written. Raises Unavailable."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            (count,) = database.execute("SELECT count(*) FROM revisions").fetchone()
            return f"{count} revisions"

    def _change(self, ns, change, dry_run):
        with self._open() as database:
            # From here on nobody else writes: what is compared is what is changed.
            database.execute("BEGIN IMMEDIATE")
            rev, now = _latest(database, ns)
            new = change(database, now)
            result = _difference(now, new)
            if not dry_run and (result["added"] or result["updated"] or result["removed"]):
                rev += 1
                at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                row = (ns, rev, at, json.dumps(new, sort_keys=True))
                database.execute("INSERT INTO revisions (ns, rev, at, conf) VALUES (?, ?, ?, ?)", row)
                database.execute("COMMIT")
            return {**result, "rev": rev}

    @contextlib.contextmanager
    def _open(self):
        with needed("store", sqlite3.Error):
            # sqlite would make it readable by all.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            with contextlib.closing(sqlite3.connect(self.path, timeout=SECONDS, isolation_level=None)) as database:
                database.execute(TABLE)
                yield database


def _latest(database, ns):
    row = database.execute("SELECT rev, conf FROM revisions WHERE ns = ? ORDER BY rev DESC LIMIT 1", (ns,)).fetchone()
    return (row[0], json.loads(row[1])) if row else (0, {})


def _difference(now, new):
    common = now.keys() & new.keys()
    updated = sorted(name for name in common if not same(now[name], new[name]))
    return {
        "added": sorted(new.keys() - now.keys()),
        "updated": updated,
        "unchanged": len(common) - len(updated),
        "removed": sorted(now.keys() - new.keys()),
    }
