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
    for home, exe in processes(system):
        engine = _PROGRAMS.get(os.path.basename(exe))
        folder = link(home / "cwd") if engine else ""
        if folder and is_seen(home / "cwd", folder):
            found[engine].add(folder)
        elif folder:
            system.cut_short.append(
                f"databases of {engine}: one that runs keeps them where the survey does not see them"
            )
    return {engine: sorted(names) for engine, names in found.items()}


def processes(system):
    """Yield (folder in /proc: pathlib.Path, program: str) of every process of ``system`` but the kernel's own."""
    for home in pathlib.Path("/proc").glob("[0-9]*") if system.live else ():
        exe = program(home)
        if exe:
            yield home, exe


def program(home):
    """Return the program (str) of the process in ``home`` (pathlib.Path), also a removed one; "" if it has none."""
    return link(home / "exe").removesuffix(" (deleted)")


def link(path):
    """Return where ``path`` (pathlib.Path) below /proc leads (str); "" if its process has ended."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def arguments(home):
    """Return the command line (list of str, one at least) of the process in ``home`` (pathlib.Path)."""
    try:
        return home.joinpath("cmdline").read_bytes().rstrip(b"\0").decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return [""]


def is_worker(home):
    """Return whether the process in ``home`` (pathlib.Path) was started by another one of the same program."""
    try:
        parent = home.joinpath("stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
    except OSError:
        return False
    return program(home.parent / parent) == program(home)


def is_roots(home):
    """Return whether the process in ``home`` (pathlib.Path) is root's, or has ended."""
    try:
        return home.stat().st_uid == 0
    except OSError:
        return True


def is_seen(link, folder):
    """Return whether ``link`` (pathlib.Path) of a process is what the survey sees as ``folder`` (str)."""
    try:
        return os.path.samefile(link, folder)
    except OSError:
        # It may have ended meanwhile: then there is nothing to miss.
        return not link.exists()
