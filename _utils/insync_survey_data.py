"""Where data is on a server: databases, virtualenvs, large folders, and how full its disks are."""

import contextlib
import glob
import os
import pathlib
import re

import insync_survey_mask
import insync_survey_system

# Everything in / and /var is looked at but for what is the system's own, and passes.
_SYSTEM = {
    f"/{name}" for name in ("bin", "boot", "dev", "etc", "lost+found", "proc", "run", "sbin", "sys", "tmp", "usr")
}
_SYSTEM |= {"/var", *(f"/var/{name}" for name in ("cache", "lock", "log", "run", "tmp"))}
# Of a virtualenv; beside them its application may keep data.
_OF_VENV = {"bin", "include", "lib", "lib64", "share"}
_SQLITE = b"SQLite format 3\0"
_MYSQL_OWN = {"mysql", "performance_schema", "sys", "information_schema"}
_LARGE = 100_000_000
# In all virtualenvs: one that links to others has theirs as well.
PACKAGES = 50_000
# What is in them is told, and asked about, database by database; a package's they are without it, which says nothing.
_ENGINES = ("/var/lib/mysql", "/var/lib/postgresql", "/var/lib/redis")
_DISKS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "overlay", "f2fs", "vfat"}


def databases(system, files):
    """
    Return the databases of ``system`` (list of dict: engine, name, path, bytes, by), found without any password.

    files (list of (str, int)): every file where data may be, with its size, from ``files``.
    """
    return [*_mysql(system), *_postgresql(system), *_redis(system), *_sqlite(system, files)]


def _mysql(system):
    # A folder without its own database is none of a server that ever started.
    if system.path("/var/lib/mysql/mysql").is_dir():
        system.explained.add("/var/lib/mysql")
    for name in system.glob("/var/lib/mysql/*/"):
        database = re.sub(r"@([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), name.rsplit("/", 1)[-1])
        if database not in _MYSQL_OWN and not database.startswith("#") and system.path(name).is_dir():
            size = sum(path.stat().st_size for path in system.path(name).iterdir() if path.is_file())
            by = "salt" if database in system.plan.get("databases", ()) else ""
            yield {"engine": "mysql", "name": database, "path": name, "bytes": size, "by": by}


def _postgresql(system):
    """Each cluster is asked by itself: of one that is stopped, or asks for a password, nothing is known."""
    names = system.glob("/var/lib/postgresql/*/*/PG_VERSION")
    answers = [_answer(system, name.removesuffix("/PG_VERSION")) for name in names]
    if names and None not in answers:
        system.explained.add("/var/lib/postgresql")
    for line in "".join(filter(None, answers)).splitlines():
        name, size = line.split("\t")
        if name != "postgres":
            by = "salt" if name in system.plan.get("databases", ()) else ""
            yield {"engine": "postgresql", "name": name, "path": "", "bytes": int(size), "by": by}


_QUERY = "SELECT datname, pg_database_size(datname) FROM pg_database WHERE NOT datistemplate"


def _answer(system, cluster):
    # The file is there while it runs: pid, folder, start, port, and where its socket is.
    told = system.head(f"{cluster}/postmaster.pid", 1000).decode("utf-8", "replace").splitlines()
    place = ["-p", told[3].strip(), "-h", told[4].strip()] if len(told) > 4 else []
    psql = ["runuser", "-u", "postgres", "--", "psql", "-X", "-w", "-At", "-F", "\t", *place, "-c", _QUERY, "postgres"]
    # Without that file another cluster would answer.
    return system.ask(f"databases of postgresql in {cluster}", *(psql if place else ["false"]))


def _redis(system):
    kinds = ("*.rdb", "*.aof", "appendonlydir")
    found = [name for kind in kinds for place in ("", "*/") for name in system.glob(f"/var/lib/redis/{place}{kind}")]
    found = [name for name in found if "/appendonlydir/" not in name]
    if found:
        system.explained.add("/var/lib/redis")
    for name in found:
        path = system.path(name)
        paths = [path] if path.is_file() else list(path.iterdir())
        size = sum(one.stat().st_size for one in paths if one.is_file())
        yield {"engine": "redis", "name": path.name, "path": name, "bytes": size, "by": system.kept_by(name)}


def _sqlite(system, files):
    for name, size in files:
        if size >= 512 and _begins(system.path(name), _SQLITE):
            by = system.kept_by(name)
            yield {"engine": "sqlite", "name": name.rsplit("/", 1)[-1], "path": name, "bytes": size, "by": by}


def _begins(path, magic):
    try:
        with insync_survey_system.opened(path) as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def files(system):
    """
    Return (every regular file where data may be: list of (name, size), the folders of virtualenvs: list of str).

    What belongs to a virtualenv is not looked at.
    """
    found, venvs = [], set()
    for entry in system.walk(_tops(system)):
        name = system.name(pathlib.Path(entry.path))
        if entry.name == "pyvenv.cfg":
            venvs.add(name.rsplit("/", 1)[0])
        elif entry.is_file(follow_symlinks=False):
            # It may be gone by now.
            with contextlib.suppress(FileNotFoundError):
                found.append((name, entry.stat(follow_symlinks=False).st_size))
    return [(name, size) for name, size in found if not _is_inside(name, venvs)], sorted(venvs)


def _tops(system):
    """The folders in which data may be, whoever made them."""
    names = [*system.glob("/*"), *system.glob("/var/*"), "/usr/local"]
    return [name for name in names if name not in _SYSTEM and not re.fullmatch(r"/lib(x?32|64)?", name)]


def _is_inside(name, venvs):
    parts = name.split("/")
    return any(part in _OF_VENV and "/".join(parts[:end]) in venvs for end, part in enumerate(parts))


def virtualenvs(system, folders):
    """
    Return what is installed in the virtualenvs ``folders`` (list of str): a list of dict: path, packages, by.

    As ``pip list`` would say it; pip is not started, and need not be there.
    """
    found, left = [], PACKAGES
    for folder in folders:
        if left < 0:
            system.cut_short.append("virtualenvs: too many packages")
            break
        infos = system.glob(f"{glob.escape(folder)}/lib/python*/site-packages/*.dist-info")
        packages = sorted(name.rsplit("/", 1)[-1].removesuffix(".dist-info").replace("-", "==", 1) for name in infos)
        left -= len(packages)
        found.append({"path": folder, "packages": packages, "by": system.kept_by(folder)})
    return found


def large(system, files):
    """
    Return the folders in which the files that no package brings are large: a list of dict: path, bytes, by.

    files (list of (str, int)): from ``files``. A folder is two levels deep, as /srv/old or /var/lib/mysql.
    """
    sizes = {}
    for name, size in files:
        folder = "/".join(name.split("/")[:-1][: 4 if name.startswith(("/var/", "/usr/")) else 3])
        sizes[folder] = sizes.get(folder, 0) + size
    rows = [{"path": folder, "bytes": size} for folder, size in sizes.items() if size >= _LARGE]
    return sorted(({**row, "by": _keeper(system, row["path"])} for row in rows), key=lambda row: -row["bytes"])


def _keeper(system, folder):
    if folder in system.explained:
        return "databases"
    by = system.by(folder) if folder in _ENGINES else system.kept_by(folder)
    # Whose folders such as /srv are has nothing to do with what lies in them.
    return "" if (folder in _ENGINES and by.startswith("package")) or by == "package base-files" else by


def disks(system):
    """Return how full the disks of ``system`` are: a list of dict: mount, bytes, used (percent)."""
    found = {}
    for line in system.text("/proc/mounts").splitlines():
        device, mount, kind = line.split()[:3]
        mount = mount.replace("\\040", " ")
        if kind in _DISKS and device not in found and os.path.isdir(mount):
            shown = os.statvfs(mount)
            used = 100 - 100 * shown.f_bavail // max(shown.f_blocks, 1)
            found[device] = {"mount": mount, "bytes": shown.f_blocks * shown.f_frsize, "used": used}
    return list(found.values())


def sources(system):
    """
    Return where packages come from: a list of dict: path, url (scheme and host), suite, origin, by.

    origin: who made it, as its own Release file says; "" if that was never fetched.
    """
    rows = []
    for name in [*system.glob("/etc/apt/sources.list"), *system.glob("/etc/apt/sources.list.d/*")]:
        if name.endswith(".sources"):
            rows += [(name, url, suite) for url, suite in _deb822(system.text(name))]
        elif name.endswith(".list"):
            lines = re.findall(r"^\s*deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)", system.text(name), re.MULTILINE)
            rows += [(name, url, suite) for url, suite in lines]
    return [_source(system, name, url, suite) for name, url, suite in rows]


def _deb822(text):
    for block in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(URIs|Suites|Types|Enabled):\s*(.*)$", block, re.MULTILINE))
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
            yield from (
                (url, suite) for url in fields.get("URIs", "").split() for suite in fields.get("Suites", "").split()
            )


def _source(system, name, url, suite):
    # As apt names what it fetched from there: without scheme, user and password.
    place = url.partition("://")[2]
    host, _, path = place.partition("/")
    listed = glob.escape(f"{host.rpartition('@')[2]}/{path}".strip("/").replace("/", "_"))
    # Of a repository without suites there is no folder dists.
    fetched = system.glob(f"/var/lib/apt/lists/{listed}_dists_*Release")
    texts = [system.head(file, 5000).decode("utf-8", "replace") for file in fetched]
    origins = [match[1] for text in texts if (match := re.search(r"^Origin:\s*(.*)$", text, re.MULTILINE))]
    origin = next(iter(origins), "")
    by = system.by(name) or (f"of {origin}" if origin in ("Debian", "Ubuntu") else "")
    # One that was never fetched may be anything, as the rest of a password with a space.
    is_suite = any(f"_dists_{suite.strip('/').replace('/', '_')}_" in file for file in fetched)
    shown = {"url": insync_survey_mask.url(url), "suite": suite if is_suite else insync_survey_mask.HIDDEN}
    return {"path": name, **shown, "origin": origin, "by": by}
