"""
Usage: databases.py copy FROM TO | adopt NEW DATA BACKUP | restore BACKUP DATA

copy: copies of the databases of a folder, taken while they may be in use, in a new folder.
adopt: what is in NEW takes the place of the databases in DATA, which nothing uses now; those stay in BACKUP.
restore: copies of what is in BACKUP take the place of the databases in DATA, which nothing uses now.
"""

import os
import pathlib
import shutil
import sqlite3
import sys

NAMES = ("db.sqlite3", "snappea.sqlite3")


def copy(source, target):
    """Copy the databases that are in the folder ``source`` into ``target``, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target, mode=0o700)
    for name in NAMES:
        if (source / name).exists():
            _copy(source / name, target / name)


def adopt(new, data, backup):
    """Keep the databases of ``data`` in ``backup``, and put those of ``new`` in their place; there always is one."""
    for name in NAMES:
        _close(new / name)
        if (data / name).exists():
            os.makedirs(backup, mode=0o700, exist_ok=True)
            _close(data / name)
            os.link(data / name, backup / name)
        os.replace(new / name, data / name)
    shutil.rmtree(new)


def restore(backup, data):
    """Put copies of the databases of ``backup`` in the place of those in ``data``."""
    new = data / "restored"
    copy(backup, new)
    for path in new.iterdir():
        _close(data / path.name)
        os.replace(path, data / path.name)
    shutil.rmtree(new)


def _copy(source, target):
    # Its own connection reads what is in the write-ahead log, too.
    before, after = sqlite3.connect(source), sqlite3.connect(target)
    with before, after:
        before.backup(after)
    before.close()
    after.close()


def _close(path):
    """Bring what is in the write-ahead log into the file itself, which can be moved then."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    for ending in ("-wal", "-shm"):
        pathlib.Path(f"{path}{ending}").unlink(missing_ok=True)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"copy": copy, "adopt": adopt, "restore": restore}[command](*map(pathlib.Path, paths))
