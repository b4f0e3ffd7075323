"""What a backup brought back goes where the service keeps it; what is there is never removed, and moved on request."""

import os
import pathlib
import shutil

import insync_data_copy
import insync_mariadb
import insync_mariadb_copy
import insync_postgresql


def occupied(found):
    """Return where data is already (list of str) of what ``found`` (dict, from insync_data_copy.copy) lists."""
    there = [str(target) for _, target in _moves(found, pathlib.Path("/"), pathlib.Path("/")) if _full(target)]
    there += [f"postgresql:{name}" for name in _databases(found) if _tables(name)]
    return there + [f"mariadb:{name}" for name in insync_mariadb_copy.filled(_of_mariadb(found))]


def targets(found):
    """Return where all of it goes (list of str)."""
    moves = [str(target) for _, target in _moves(found, pathlib.Path("/"), pathlib.Path("/"))]
    databases = [f"postgresql:{name}" for name in _databases(found)]
    return moves + databases + [f"mariadb:{name}" for name in _of_mariadb(found)]


def check(found, copied, root):
    """
    Raise CopyError unless all that was brought back is what was copied, and whole in the eyes of its engine.

    found (dict): as insync_data_copy.copy returned it. copied, root (pathlib.Path): where the copies are, and what was
    read in its place.
    """
    mariadb = [found["mariadb"]] if _of_mariadb(found) else []
    for item in [*found["sqlite"], *mariadb, *([found["postgresql"]] if found["postgresql"] else [])]:
        _same(copied / item["file"], item["sha256"])
    for item in found["sqlite"]:
        insync_data_copy.check_sqlite(copied / item["file"], item["path"])
    if found["postgresql"]:
        insync_data_copy.run(["pg_restore", "--list", str(copied / found["postgresql"]["file"])])
    if found["redis"]:
        for name, sha256 in found["redis"]["files"].items():
            _same(copied / "redis" / name, sha256)
        insync_data_copy.check_redis(copied / "redis", found["redis"]["folder"])
    for name in found["hg"].get("repositories", []):
        insync_data_copy.check_hg(copied / "hg" / name)
    for path in found["files"]:
        if not os.path.lexists(_below(root, path)):
            raise insync_data_copy.CopyError(f"{path}: the backup has none")


def put(found, copied, root, stamp):
    """
    Put all of it in its place; return what was moved aside for it (dict: from -> to).

    stamp (str): what the names of that end with. Where anything fails, everything is as it was before.
    """
    for place in (copied, *(_below(root, path) for path in found["files"])):
        insync_data_copy.own(place, found["users"], found["groups"])
    aside, done = {}, []
    try:
        for database in _databases(found):
            _fill(f"{database}_{stamp}_new", found["postgresql"]["owner"], copied / found["postgresql"]["file"])
        for source, target in _moves(found, copied, root):
            for there in _with_logs(target):
                if os.path.lexists(there):
                    os.rename(there, f"{there}.{stamp}")
                    aside[str(there)] = f"{there}.{stamp}"
            if not target.parent.exists():
                target.parent.mkdir(parents=True)
                target.parent.chmod(0o755)
            done.append(target)
            shutil.move(source, target)
        if _of_mariadb(found):
            aside |= _loaded(found["mariadb"], copied, stamp)
        for database in _databases(found):
            new, pairs = f"{database}_{stamp}_new", []
            if insync_postgresql.has(database):
                aside[f"postgresql:{database}"] = f"postgresql:{database}_{stamp}"
                pairs = [(database, f"{database}_{stamp}")]
            insync_postgresql.rename(*pairs, (new, database))
    except (OSError, insync_data_copy.CopyError, insync_postgresql.DatabaseError, insync_mariadb.DatabaseError):
        _undo(found, aside, done, stamp)
        raise
    return aside


def _undo(found, aside, done, stamp):
    for target in reversed(done):
        if os.path.lexists(target):
            shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
    for there, moved in aside.items():
        if not there.startswith(("postgresql:", "mariadb:")):
            os.rename(moved, there)
    for database in _databases(found):
        insync_postgresql.drop(f"{database}_{stamp}_new")


def _loaded(wanted, copied, stamp):
    """Load the dump; return what was moved aside for it. Where that fails, all of MariaDB is as it was before."""
    moved = insync_mariadb_copy.move(wanted["databases"], stamp)
    try:
        insync_mariadb_copy.load(copied / wanted["file"])
    except insync_mariadb.DatabaseError:
        insync_mariadb_copy.back(wanted["databases"], moved)
        raise
    return {f"mariadb:{name}": f"mariadb:{new}" for name, new in moved.items()}


def _fill(new, owner, file):
    insync_postgresql.make(new, owner)
    with file.open("rb") as opened:
        words = ["pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={new}"]
        insync_data_copy.run(words, "postgres", stdin=opened)


def _moves(found, copied, root):
    """(from, to) of all that is a file or a folder; what is inside of something else comes after it."""
    moves = [(_below(root, path), pathlib.Path(path)) for path in found["files"]]
    moves += [(copied / item["file"], pathlib.Path(item["path"])) for item in found["sqlite"]]
    if found["redis"]:
        moves.append((copied / "redis", pathlib.Path(found["redis"]["folder"], insync_data_copy.AOF)))
    for name in found["hg"].get("repositories", []):
        moves.append((copied / "hg" / name, pathlib.Path(found["hg"]["folder"], name)))
    return moves


def _databases(found):
    return [found["postgresql"]["database"]] if found["postgresql"] else []


def _of_mariadb(found):
    # Backups from before there was this engine do not name it.
    return found["mariadb"]["databases"] if found.get("mariadb") else []


def _tables(database):
    if not insync_postgresql.has(database):
        return False
    command = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", f"--dbname={database}", "--command"]
    asked = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    return insync_data_copy.run([*command, asked], "postgres").strip() != b"0"


def _full(target):
    if target.is_dir() and not target.is_symlink():
        return any(files for _, _, files in os.walk(target))
    return os.path.lexists(target)


def _with_logs(target):
    """A database of SQLite may have its log beside it, which belongs to no other one."""
    return [target, *(target.with_name(f"{target.name}{end}") for end in ("-wal", "-shm", "-journal"))]


def _below(root, path):
    return root / str(path).lstrip("/")


def _same(file, expected):
    if not file.is_file() or insync_data_copy.sha256(file) != expected:
        raise insync_data_copy.CopyError(f"{file.name}: the backup has it damaged, or not at all")
