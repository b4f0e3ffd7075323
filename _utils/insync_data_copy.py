"""Consistent copies of what services keep, each made by the engine's own tool, while the service goes on."""

import contextlib
import glob
import grp
import hashlib
import os
import pathlib
import pwd
import re
import shutil
import sqlite3
import subprocess

import insync_mariadb_copy
import insync_postgresql

SECONDS = 3600
AOF = "appendonlydir"
# In the name of what was moved aside for a restore: that is nobody's data any more.
ASIDE = "before_"
_AOF_MANIFEST = "appendonly.aof.manifest"
_TRIES = 20
_AOF_TALK = re.compile(r"Start|RDB preamble is OK|\[")
# Anything but the end of the last command missing, as it does in a copy of what is being written.
_AOF_DAMAGE = re.compile(r"^(?!.*Expected to read|AOF analyzed: |.* is not valid[.] )")


class CopyError(ValueError):
    """There is no consistent copy; the message says of what, and why."""


def copy(declared, folder):
    """
    Copy all of ``declared`` that cannot be read while it is written, into the new ``folder`` (pathlib.Path).

    declared (dict): files, exclude, hg, mariadb, postgresql, redis, sqlite and units, as the role says.

    Returns what there is to restore (dict: sqlite, mariadb, postgresql, redis, hg, files, exclude, users, groups), with
    sums of what was copied; ``files`` are read in their place. Raises CopyError, insync_postgresql.DatabaseError or
    insync_mariadb.DatabaseError.
    """
    folder.mkdir(mode=0o700, parents=True)
    # Databases first: the files that they tell of were there before, and stay.
    found = {
        "sqlite": [
            _sqlite(path, folder / f"sqlite-{number}") for number, path in enumerate(declared.get("sqlite", []))
        ],
        "mariadb": _mariadb(declared["mariadb"], folder / "mariadb.sql") if "mariadb" in declared else {},
        "postgresql": _postgresql(declared["postgresql"], folder / "postgresql") if "postgresql" in declared else {},
        "redis": _redis(declared["redis"], folder / "redis") if "redis" in declared else {},
        "hg": _hg(declared["hg"], folder / "hg") if "hg" in declared else {},
        "files": _expanded(declared.get("files", []), declared.get("exclude", [])),
        "exclude": declared.get("exclude", []),
    }
    places = [*found["files"], *(item["path"] for item in found["sqlite"]), str(folder)]
    return {**found, **_owners(places)}


def _sqlite(path, target):
    if not os.path.exists(path):
        raise CopyError(f"{path}: there is no such database")
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as source,
            contextlib.closing(sqlite3.connect(target)) as copied,
        ):
            source.backup(copied)
            # Alone, without a log beside it.
            copied.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as exc:
        raise CopyError(f"{path}: {exc}") from exc
    check_sqlite(target, path)
    had = os.stat(path)
    os.chown(target, had.st_uid, had.st_gid)
    target.chmod(had.st_mode & 0o7777)
    return {"path": path, "file": target.name, "sha256": sha256(target)}


def check_sqlite(file, name):
    """Raise CopyError, with ``name`` (str), unless the database ``file`` (pathlib.Path) is whole in itself."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            ((said,), *_) = database.execute("PRAGMA integrity_check(1)").fetchall()
    except sqlite3.Error as exc:
        raise CopyError(f"{name}: {exc}") from exc
    if said != "ok":
        raise CopyError(f"{name}: the database is damaged: {' '.join(said.split())[:200]}")


def _mariadb(databases, target):
    insync_mariadb_copy.dump(databases, target)
    return {"databases": databases, "file": target.name, "sha256": sha256(target)}


def _postgresql(database, target):
    if not insync_postgresql.has(database):
        raise CopyError(f"postgresql: there is no database {database}")
    with target.open("wb") as file:
        run(["pg_dump", "--format=custom", f"--dbname={database}"], "postgres", stdout=file)
    owner = insync_postgresql.sql(f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{database}'")[0]
    return {"database": database, "owner": owner, "file": target.name, "sha256": sha256(target)}


def _redis(folder, target):
    """
    Copy the append-only file, which is a base and what came after it, both named by its manifest.

    Redis only appends, until it begins anew with another base and another manifest: while the manifest is the same
    afterwards, the copy is as whole as what a kill would leave. The last command may be half of one.
    """
    source = pathlib.Path(folder, AOF)
    for _ in range(_TRIES):
        shutil.rmtree(target, ignore_errors=True)
        try:
            manifest = (source / _AOF_MANIFEST).read_bytes()
            # Copied with its owner; what is being written now is cut where it is read.
            _copied_tree(source, target)
            if manifest == (target / _AOF_MANIFEST).read_bytes() == (source / _AOF_MANIFEST).read_bytes():
                break
        except FileNotFoundError as exc:
            if not source.is_dir():
                raise CopyError(f"{source}: redis has no append-only file there") from exc
    else:
        raise CopyError(f"{source}: redis begins it anew all the time; try again when less is written")
    check_redis(target, str(source), mend=True)
    return {"folder": folder, "files": {file.name: sha256(file) for file in sorted(target.iterdir())}}


def check_redis(folder, name, mend=False):
    """
    Raise CopyError, with ``name`` (str), unless redis can read the append-only file in ``folder`` (pathlib.Path).

    mend (bool): cut off the last command if half of it is missing, and nothing else is wrong; on a copy only.
    """
    manifest = str(folder / _AOF_MANIFEST)
    said = _checked_aof(manifest)
    if said and mend and not any(_AOF_DAMAGE.search(line) for line in said):
        said = _checked_aof("--fix", manifest)
    if said:
        raise CopyError(f"{name}: {'; '.join(said)[-300:]}")


def _checked_aof(*words):
    """What is wrong (list of str), [] if nothing is."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "check": False, "cwd": "/"}
    done = subprocess.run(["redis-check-aof", *words], input=b"y\n", timeout=SECONDS, **options)
    lines = [" ".join(line.split()) for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if not line.endswith((" is valid", "diff=0")) and not _AOF_TALK.match(line)]
    return (wrong or lines or ["redis-check-aof fails"]) if done.returncode else []


def _hg(folder, target):
    """Copy each repository as a clone, which waits for who pushes, and then keeps him out."""
    there = [path for path in pathlib.Path(folder).iterdir() if (path / ".hg").is_dir()]
    made = sorted(path.name for path in there if f".{ASIDE}" not in path.name)
    target.mkdir()
    # On the way to what its user writes; whoever calls may have another umask.
    for folder_of_root in (target, target.parent):
        folder_of_root.chmod(0o711)
    for name in made:
        source, had = pathlib.Path(folder, name), os.stat(pathlib.Path(folder, name))
        clone = target / name
        clone.mkdir()
        clone.chmod(had.st_mode & 0o7777)
        os.chown(clone, had.st_uid, had.st_gid)
        # Else what is a draft there would be none here.
        words = ["--config", "phases.publish=False", "--quiet", "--noupdate", str(source), str(clone)]
        run(["hg", "clone", *words], owner=had, HGRCPATH="")
        # The clone's own says where it is from.
        (clone / ".hg" / "hgrc").unlink()
        if (source / ".hg" / "hgrc").exists():
            _copied_file(source / ".hg" / "hgrc", clone / ".hg" / "hgrc")
    return {"folder": folder, "repositories": made}


def check_hg(folder):
    """Raise CopyError unless every revision in the repository ``folder`` (pathlib.Path) is as it was committed."""
    run(["hg", "--repository", str(folder), "verify", "--quiet"], owner=os.stat(folder), HGRCPATH="")


def _expanded(paths, exclude):
    """Those of ``paths`` that are there, each pattern as what it fits now."""
    left_out = set(exclude)
    found = [one for path in paths for one in sorted(glob.glob(path)) if one not in left_out and f".{ASIDE}" not in one]
    missing = [path for path in paths if not glob.has_magic(path) and not os.path.lexists(path)]
    if missing:
        raise CopyError(f"{missing[0]}: it is declared as data, and is not there")
    return found


def _owners(places):
    """Who owns what: on another server the same names may have other numbers."""
    stats = [os.lstat(path) for place in places for path in _walk(place)]
    users, groups = {one.st_uid for one in stats}, {one.st_gid for one in stats}
    return {"users": _names(users, pwd.getpwuid, "pw_name"), "groups": _names(groups, grp.getgrgid, "gr_name")}


def _names(numbers, ask, name):
    found = {}
    for number in numbers:
        with contextlib.suppress(KeyError):
            found[str(number)] = getattr(ask(number), name)
    return found


def _walk(place):
    yield place
    # Both vanish at times while they are looked at.
    for folder, folders, files in os.walk(place):
        yield from (path for name in (*folders, *files) if os.path.lexists(path := os.path.join(folder, name)))


def own(place, users, groups):
    """
    Give all of ``place`` (path) to those who have here the names of its owners there.

    users, groups (dict): number there (str) -> name. Raises CopyError naming who is not there.
    """
    try:
        uids = {int(number): pwd.getpwnam(name).pw_uid for number, name in users.items()}
        gids = {int(number): grp.getgrnam(name).gr_gid for number, name in groups.items()}
    except KeyError as exc:
        raise CopyError(f"{place}: this server does not know its owner, {exc}; run its highstate first") from exc
    for path in list(_walk(str(place))):
        had = os.lstat(path)
        uid, gid = uids.get(had.st_uid, had.st_uid), gids.get(had.st_gid, had.st_gid)
        if (uid, gid) != (had.st_uid, had.st_gid):
            os.lchown(path, uid, gid)
            # A new owner takes away what sets the user or the group.
            if not os.path.islink(path):
                os.chmod(path, had.st_mode & 0o7777)


def _copied_tree(source, target):
    target.mkdir()
    for file in sorted(source.iterdir()):
        _copied_file(file, target / file.name)
    had = os.stat(source)
    os.chown(target, had.st_uid, had.st_gid)
    target.chmod(had.st_mode & 0o7777)


def _copied_file(source, target):
    had = os.stat(source)
    shutil.copyfile(source, target)
    os.chown(target, had.st_uid, had.st_gid)
    target.chmod(had.st_mode & 0o7777)


def sha256(file):
    """Return the SHA-256 (str) of ``file`` (pathlib.Path)."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def run(command, user="", owner=None, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **environment):
    """
    Run ``command`` (list of str) as ``user`` (str), or as who owns something (``owner``, an os.stat_result).

    stdout, stdin: as subprocess takes them. Raises CopyError with the last line that it says.
    """
    become = {"user": user, "group": user, "extra_groups": []} if user else {}
    if owner is not None:
        become = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    if os.geteuid() != 0:
        become = {}
    told = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **environment}
    options = {"stdin": stdin, "stdout": stdout, "stderr": subprocess.PIPE, "env": told, "cwd": "/", "check": False}
    try:
        done = subprocess.run(command, timeout=SECONDS, **options, **become)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CopyError(f"{command[0]}: {getattr(exc, 'strerror', None) or exc}") from exc
    if done.returncode:
        said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise CopyError(f"{command[0]}: {(said or [f'exit code {done.returncode}'])[-1][:300]}")
    return done.stdout
