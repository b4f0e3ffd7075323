"""Backups of the database beside dumps, their verification, and what semi-synchronous replication costs, in one run.

Usage: .venv/bin/python bench/database.py [ROUNDS] [MEGABYTES]     (the fleet must be up and converged)

The tables go to docs/database-benchmark.md; of less than 200 MB they are only printed. Everybody has a turn in each
round, on the replica, with a database that only it has meanwhile. The peers are Debian's packages; they are gone from
the server afterwards, and so are the backups and all data that were made here.
"""

import contextlib
import datetime
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "_utils")]

from bench import database_ground as ground  # noqa: E402
from bench import database_writers  # noqa: E402
from bench.database_ours import Ours, verb  # noqa: E402
from bench.database_page import page  # noqa: E402
from bench.database_peers import peers  # noqa: E402
from tests.fleet.backups import Bucket, newest_left  # noqa: E402
from tests.fleet.conftest import Fleet  # noqa: E402
from tests.fleet.test_7_database import PRIMARY, REPLICA, VERIFIER, well  # noqa: E402
from tests.fleet.writers import TABLE  # noqa: E402

PAGE = ROOT / "docs" / "database-benchmark.md"
TIMER = "mariadb-backup-binlogs.timer"
# With less, what counts is how long programs take to start.
SMALLEST = 200


@contextlib.contextmanager
def alone(fleet):
    """Nobody else makes backups while the block runs; in the end all is as before, and one backup says so."""
    well(fleet)
    with newest_left(Bucket()), _resting():
        try:
            yield
        finally:
            ground.sql(PRIMARY, f"DROP TABLE IF EXISTS {TABLE}")
            well(fleet)
            for kind in ("physical", "binlogs"):
                verb(fleet, REPLICA, "insync.backup", f"kind={kind}")


@contextlib.contextmanager
def _resting():
    """Let the timer of the binary logs rest while the block runs."""
    ground.run(REPLICA, f"systemctl stop {TIMER}")
    try:
        yield
    finally:
        ground.run(REPLICA, f"systemctl start {TIMER}")


def backups(fleet, count, megabytes):
    """Return ([{who: figures} of each round], bytes of the server's data)."""
    found = []
    with ground.data(REPLICA, megabytes) as (size, rows), peers(REPLICA, rows) as others:
        # What was there before is no part of what a verification replays.
        verb(fleet, REPLICA, "insync.backup", "kind=binlogs")
        sides = [Ours(fleet, REPLICA, VERIFIER, rows), *others]
        for number in range(count):
            print(f"round {number + 1} of {count}", flush=True)
            turn = number % len(sides)
            found.append({side.name: side.round() for side in sides[turn:] + sides[:turn]})
    return found, size


def main(count=3, megabytes=600):
    """Run all rounds, print the tables, and write them to their page."""
    fleet = Fleet()
    with alone(fleet):
        resting = ground.idle(REPLICA)
        commits = database_writers.rounds(fleet, PRIMARY, 2 * count)
        found, size = backups(fleet, count, megabytes)
    text = page(found, commits, size, resting, datetime.datetime.now(datetime.UTC).date(), [count, megabytes])
    if megabytes >= SMALLEST:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
