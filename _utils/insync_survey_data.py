"""Where data is on a server: databases, virtualenvs, large folders, and how full its disks are."""

import contextlib
import glob
import os
import pathlib
import re

import insync_survey_daemons
import insync_survey_mask
import insync_survey_system

# Everything in / and /var is looked at but for what is the system's own, and passes.
_SYSTEM = {
    f"/{name}" for name in ("bin", "boot", "dev", "etc", "lost+found", "proc", "run", "sbin", "sys", "tmp", "usr")
}
_SYSTEM |= {"/var", *(f"/var/{name}" for name in ("cache", "lock", "log", "run", "tmp"))}
# Of a virtualenv; beside them its application may keep data.
_OF_VENV = {"bin", "include", "lib", "lib64", "share"}
_MAGIC = {b"SQLite format 3\0": "sqlite", b"REDIS": "redis"}
_OF_MYSQL = re.compile(r"/mysql/(db|global_priv|plugin|user)\.(frm|ibd|MAD|MYD)$")
_SETTINGS = ("/etc/my.cnf", "/etc/my.cnf.d/*.cnf", "/etc/mysql/*.cnf", "/etc/mysql/*/*.cnf")
_DATADIR = re.compile(r"""^\s*datadir\s*=\s*["']?(/[^\s"'#]+)""", re.MULTILINE)
_OF_DEBIAN = "/var/lib/postgresql/"
_OF_REDIS = ("*.rdb", "*.aof", "appendonlydir")
_MYSQL_OWN = {"mysql", "performance_schema", "sys", "information_schema"}
_LIBRARIES = "lib/python*/site-packages"
# Before wheels a package noted for which Python it was, and one that is worked on is a link.
_INFOS = (".dist-info", ".egg-info", ".egg", ".egg-link")
_INFO = re.compile(r"(-py[\d.]+)?\.(dist-info|egg-info|egg|egg-link)$")
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
    running = insync_survey_daemons.folders(system)
    names = [name for name, _ in files]
    return [
        *_mysql(system, _of_mysql(system, names, running["mysql"])),
        *_postgresql(system, _of_postgresql(system, names, running["postgresql"])),
        *_redis(system, names, running["redis"]),
        *_by_content(system, files),
    ]


def _above(name, levels=1):
    return name.rsplit("/", levels)[0]


def _of_mysql(system, names, running):
    """The folders in which a MariaDB or MySQL keeps its databases: by what is in them, by settings, and by who runs."""
    found = {"/var/lib/mysql", *running, *(_above(name) for name in names if name.endswith("/ibdata1"))}
    found |= {_above(name, 2) for name in names if _OF_MYSQL.search(name)}
    for file in (name for pattern in _SETTINGS for name in system.glob(pattern)):
        found |= {name.rstrip("/") for name in _DATADIR.findall(system.text(file))}
    return sorted(found)


def _mysql(system, folders):
    for folder in folders:
        # One without its own database is none of a server that ever started.
        if system.path(f"{folder}/mysql").is_dir():
            system.explained.add(folder)
        elif folder != "/var/lib/mysql" and not system.path(f"{folder}/ibdata1").is_file():
            continue
        for name in system.glob(f"{glob.escape(folder)}/*/"):
            database = re.sub(r"@([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), name.rsplit("/", 1)[-1])
            if database not in _MYSQL_OWN and not database.startswith("#") and system.path(name).is_dir():
                by = "salt" if database in system.plan.get("databases", ()) else ""
                yield {"engine": "mysql", "name": database, "path": name, "bytes": _size(system, name), "by": by}


def _of_postgresql(system, names, running):
    """The folders of its clusters; each database in one has such a file as well, also in a tablespace."""
    names = [*names, *system.glob("/var/lib/postgresql/*/*/PG_VERSION")]
    found = {*running, *(_above(name) for name in names if name.endswith("/PG_VERSION"))}
    return sorted(name for name in found if _above(name, 2) not in found and "/PG_" not in _above(name))


def _postgresql(system, clusters):
    """Each cluster is asked by itself: of one that is stopped, or asks for a password, nothing is known."""
    answers = {cluster: _answer(system, cluster) for cluster in clusters}
    of_debian = [answer for cluster, answer in answers.items() if cluster.startswith(_OF_DEBIAN)]
    if of_debian and None not in of_debian:
        system.explained.add("/var/lib/postgresql")
    for line in "".join(filter(None, answers.values())).splitlines():
        name, size = line.split("\t")
        if name != "postgres":
            by = "salt" if name in system.plan.get("databases", ()) else ""
            yield {"engine": "postgresql", "name": name, "path": "", "bytes": int(size), "by": by}


_QUERY = "SELECT datname, pg_database_size(datname) FROM pg_database WHERE NOT datistemplate"


def _answer(system, cluster):
    # The file is there while it runs: pid, folder, start, port, and where its socket is.
    told = system.head(f"{cluster}/postmaster.pid", 1000).decode("utf-8", "replace").splitlines()
    asked = len(told) > 4 and _is_of_postgres(system, cluster)
    place = ["-p", told[3].strip(), "-h", told[4].strip()] if asked else []
    psql = ["runuser", "-u", "postgres", "--", "psql", "-X", "-w", "-At", "-F", "\t", *place, "-c", _QUERY, "postgres"]
    # Without that file another cluster would answer.
    return system.ask(f"databases of postgresql in {cluster}", *(psql if place else ["false"]))


def _is_of_postgres(system, cluster):
    """Whether that user made ``cluster``: of another's nobody knows whom its files would have the survey ask."""
    with contextlib.suppress(KeyError, OSError):
        return cluster.startswith(_OF_DEBIAN) or system.path(cluster).owner() == "postgres"
    return False


def _redis(system, names, running):
    places = ["/var/lib/redis", "/var/lib/redis/*", *map(glob.escape, running)]
    found = [name for kind in _OF_REDIS for place in places for name in system.glob(f"{place}/{kind}")]
    found += [name for name in names if name.endswith((".rdb", ".aof"))]
    found = {_above(name) if _above(name).endswith("/appendonlydir") else name for name in found}
    if any(name.startswith("/var/lib/redis/") for name in found):
        system.explained.add("/var/lib/redis")
    return [_found(system, "redis", name) for name in sorted(found)]


def _by_content(system, files):
    for name, size in files:
        engine = size >= 512 and _MAGIC.get(_beginning(system.path(name)))
        # What redis calls as it does by itself is found already.
        if engine and not (engine == "redis" and (name.endswith(".rdb") or "/appendonlydir/" in name)):
            yield _found(system, engine, name)


def _found(system, engine, name):
    row = {"engine": engine, "name": name.rsplit("/", 1)[-1], "path": name}
    return {**row, "bytes": _size(system, name), "by": system.kept_by(name)}


def _size(system, name):
    """How large a file is, or those that lie in a folder; what goes meanwhile is nothing."""
    path = system.path(name)
    total = 0
    with contextlib.suppress(OSError):
        for one in path.iterdir() if path.is_dir() else [path]:
            with contextlib.suppress(OSError):
                total += one.stat().st_size if one.is_file() else 0
    return total


def _beginning(path):
    """What the kind of a database is known by."""
    try:
        with insync_survey_system.opened(path) as file:
            data = file.read(16)
    except OSError:
        return b""
    return b"REDIS" if data.startswith(b"REDIS0") else data


def files(system):
    """
    Return (every regular file where data may be: list of (name, size), the folders of virtualenvs: list of str).

    What belongs to a virtualenv is not looked at.
    """
    found, venvs = [], set()
    for entry in system.walk(_tops(system)):
        name = system.name(pathlib.Path(entry.path))
        if entry.name == "pyvenv.cfg":
            venvs.add(_above(name))
        elif name.endswith("/bin/activate") and system.glob(f"{glob.escape(_above(name, 2))}/{_LIBRARIES}"):
            # As they were made before there was such a file, also for Python 2.
            venvs.add(_above(name, 2))
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
        names = [name for end in _INFOS for name in system.glob(f"{glob.escape(folder)}/{_LIBRARIES}/*{end}")]
        packages = sorted({_INFO.sub("", name.rsplit("/", 1)[-1]).replace("-", "==", 1) for name in names})
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
