"""Transactions that only this server has, kept as a file before its data goes."""

import json
import os
import pathlib
import re

import insync_db
import insync_gtid
import insync_mariadb_seed
import insync_pipe
from insync_mariadb import DatabaseError

FOLDER = pathlib.Path("/var/lib/insync/db/salvage")
# Binary logs as they were before a start that cut them off; the unit of the server puts them there.
CUT = "cut"
_RECORD = "salvaged.json"
_GTID = re.compile(rb"GTID (\d+-\d+-\d+)\b")
_ROW = re.compile(rb"### (INSERT INTO|UPDATE|DELETE FROM) ")


def lacking(query, history):
    """
    Return the last GTIDs (list of str) of this server that are no part of ``history`` (str, a @@gtid_binlog_state).

    query (insync_mariadb.Query): here. Raises DatabaseError.
    """
    try:
        return insync_gtid.missing(query.variable("gtid_binlog_state"), history)
    except insync_gtid.GtidError as exc:
        raise DatabaseError(str(exc)) from exc


def logs(query):
    """Return the files (list of pathlib.Path) of the binary log of the server of ``query``, the oldest first."""
    folder = pathlib.Path(query.variable("log_bin_basename")).parent
    return [folder / row[0] for row in query("SHOW BINARY LOGS")]


def salvage(query, history, folder=FOLDER):
    """
    Write what only this server has into a file, as SQL that mariadb can apply, with each row to be read beside it.

    query (insync_mariadb.Query): here. history (str): @@gtid_binlog_state of the primary. folder (pathlib.Path).
    Returns a list of dict: file, transactions (their GTIDs), rows; of the log as it is, and as it was before it was
    cut off at a start. Raises DatabaseError if not all of it is in the logs that are left.
    """
    found, own = [], query.variable("gtid_binlog_state")
    only = lacking(query, history)
    if only:
        start = insync_gtid.before(only, own, history)
        one = write(folder, logs(query), start, only[0])
        lost = set(only) - set(one["transactions"])
        if lost:
            raise DatabaseError(f"{', '.join(sorted(lost))}: in no binary log that is left; nothing was changed")
        found.append(one)
    found += _cut(folder, query.variable("gtid_binlog_pos"), f"{own},{history}")
    _record(folder, only)
    return found


def _cut(folder, end, known):
    """What was cut off at a start, which no replica has confirmed; ``end``: where the log has ended since."""
    for log in sorted((folder / CUT).glob("*")):
        name = f"cut-{log.name}"
        try:
            one = write(folder, [log], end, name, known)
        except DatabaseError:
            # It has gone on since: then all that was in that log.
            one = write(folder, [log], "", name, known)
        if one["transactions"]:
            yield one
        else:
            pathlib.Path(one["file"]).unlink()
        log.unlink()


def write(folder, files, start, name, known=""):
    """
    Write what stands in the binary logs ``files`` (list of pathlib.Path) after ``start`` (str, a GTID list).

    folder (pathlib.Path): where; name (str): of what. known (str): what else is nothing new.
    Returns a dict: file, transactions, rows. Raises DatabaseError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{name}.sql"
    begin = [f"--start-position={start}"] if start else []
    with open(file, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
        try:
            insync_pipe.run([["mariadb-binlog", "--verbose", *begin, *map(str, files)]], target=target)
        except insync_pipe.PipeError as exc:
            raise DatabaseError(f"{exc}; nothing was changed") from exc
        os.fsync(target.fileno())
    transactions, rows = _contents(file)
    new = [one for one in transactions if insync_gtid.missing(one, known)]
    return {"file": str(file), "transactions": new, "rows": rows if new else 0}


def _contents(file):
    transactions, rows = [], 0
    with file.open("rb") as text:
        for line in text:
            rows += bool(_ROW.match(line))
            found = _GTID.search(line) if line.startswith(b"#") and not line.startswith(b"###") else None
            if found:
                transactions.append(found[1].decode())
    return transactions, rows


def _record(folder, only):
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _RECORD).write_text(json.dumps(only), encoding="utf-8")


def give_up(query, history, data, folder=FOLDER):
    """
    Let the data of this server be made anew from the primary's: all that only it has was salvaged.

    query (insync_mariadb.Query): here. history (str): of the primary. data (pathlib.Path): the folder of the data.
    Raises DatabaseError, with nothing changed, if the server is open for writes, or has more than was salvaged.
    """
    if not insync_db.closed(query):
        raise DatabaseError("it is open for writes; nothing was changed")
    try:
        salvaged = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        salvaged = []
    more = sorted(set(lacking(query, history)) - set(salvaged))
    if more:
        raise DatabaseError(f"it has transactions that nobody has salvaged ({', '.join(more)}); nothing was changed")
    (data / insync_mariadb_seed.SEEDING).touch()
