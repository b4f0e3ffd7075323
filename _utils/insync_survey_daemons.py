"""Where the database servers that run on a server keep their data; from /proc alone."""

import os
import pathlib

# Debian's redis-server is a link to its checker.
_PROGRAMS = {
    "mariadbd": "mysql",
    "mysqld": "mysql",
    "postgres": "postgresql",
    "redis-check-rdb": "redis",
    "redis-server": "redis",
}


def folders(system):
    """
    Return the folders (dict: engine -> list of str) in which servers of databases run: each works in that of its data.

    One that sees other files than the survey, as in a container, is told by ``cut_short``.
    """
    found = {engine: set() for engine in _PROGRAMS.values()}
    for home in pathlib.Path("/proc").glob("[0-9]*") if system.live else ():
        try:
            program = os.path.basename(os.readlink(home / "exe").removesuffix(" (deleted)"))
            engine, folder = _PROGRAMS.get(program), os.readlink(home / "cwd")
        except OSError:
            continue
        if engine and _is_seen(home / "cwd", folder):
            found[engine].add(folder)
        elif engine:
            system.cut_short.append(
                f"databases of {engine}: one that runs keeps them where the survey does not see them"
            )
    return {engine: sorted(names) for engine, names in found.items()}


def _is_seen(link, folder):
    try:
        return os.path.samefile(link, folder)
    except OSError:
        # It may have ended meanwhile: then there is nothing to miss.
        return not link.exists()
