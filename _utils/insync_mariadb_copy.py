"""Databases of a MariaDB that has no replica: dumped at one moment, and loaded again; what is there is moved aside."""

import insync_mariadb
import insync_pipe

_COMPLETE = b"-- Dump completed"
_OF_MOMENT = ["--single-transaction", "--routines", "--triggers", "--events", "--hex-blob", "--databases"]


def dump(databases, file):
    """Write ``databases`` (list of str) into ``file`` (pathlib.Path). Raises insync_mariadb.DatabaseError."""
    with file.open("wb") as target:
        _run("mariadb-dump", *_OF_MOMENT, *databases, target=target)
    check(file)


def check(file):
    """Raise insync_mariadb.DatabaseError unless the dump in ``file`` (pathlib.Path) was written to its end."""
    with file.open("rb") as opened:
        opened.seek(max(file.stat().st_size - 4096, 0))
        if _COMPLETE not in opened.read():
            raise insync_mariadb.DatabaseError(f"{file.name}: the dump is cut off")


def filled(databases):
    """Return those of ``databases`` (list of str) that have tables."""
    if not databases:
        return []
    with insync_mariadb.local() as query:
        return [name for name in databases if _tables(query, name)]


def move(databases, stamp):
    """
    Move all tables of ``databases`` (list of str) into databases of their own; return {from: to} (dict).

    stamp (str): what the names of those end with. All move or none. Raises insync_mariadb.DatabaseError, also where
    triggers would stay behind.
    """
    aside = {name: f"{name}_{stamp}" for name in filled(databases)}
    try:
        with insync_mariadb.local() as query:
            for new in aside.values():
                query(f"CREATE DATABASE `{new}`")
            _rename(query, aside)
    except insync_mariadb.DatabaseError:
        with insync_mariadb.local() as query:
            for new in aside.values():
                # What could not be taken back is in there.
                if not _tables(query, new):
                    query(f"DROP DATABASE IF EXISTS `{new}`")
        raise
    return aside


def load(file):
    """Run the dump in ``file`` (pathlib.Path). Raises insync_mariadb.DatabaseError with the first error."""
    with file.open("rb") as opened:
        _run("mariadb", "--binary-mode", source=opened)


def back(databases, aside):
    """Undo ``load`` and ``move``: remove all in ``databases`` (list of str), let what is in ``aside`` (dict) return."""
    with insync_mariadb.local() as query:
        query("SET FOREIGN_KEY_CHECKS = 0")
        for name in databases:
            for table, kind in _tables(query, name):
                query(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} `{name}`.`{table}`")
        _rename(query, {new: name for name, new in aside.items()})
        for new in aside.values():
            query(f"DROP DATABASE `{new}`")


def _rename(query, moves):
    pairs = [
        f"`{old}`.`{table}` TO `{new}`.`{table}`" for old, new in moves.items() for table, _ in _tables(query, old)
    ]
    if pairs:
        query(f"RENAME TABLE {', '.join(pairs)}")


def _tables(query, database):
    asked = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s"
    return query(asked, database)


def _run(program, *words, **files):
    try:
        command = [program, "--user=root", f"--socket={insync_mariadb.SOCKET}", *words]
        insync_pipe.run([command], cwd="/", **files)
    except insync_pipe.PipeError as exc:
        raise insync_mariadb.DatabaseError(str(exc)) from exc
