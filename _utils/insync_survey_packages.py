"""What was changed of what packages brought."""

import hashlib
import re


def conffiles(system):
    """
    Return the configuration files of packages that somebody has changed or removed.

    A list of dict: path, package, change (changed, missing), by. Nothing of their content is told.
    """
    found = []
    for package, path, digest in _known(system.text("/var/lib/dpkg/status", 50_000_000)):
        change = _change(system.path(path), digest)
        if change:
            # The package owns it, which says nothing about who changed it.
            by = system.by(path)
            found.append(
                {"path": path, "package": package, "change": change, "by": "" if by.startswith("package") else by}
            )
    return found


def _known(status):
    for block in status.split("\n\n"):
        package = re.search(r"^Package: (\S+)", block, re.MULTILINE)
        installed = re.search(r"^Status: \S+ \S+ installed$", block, re.MULTILINE)
        listed = re.search(r"^Conffiles:\n((?: .*\n?)+)", block, re.MULTILINE)
        for line in listed[1].splitlines() if package and installed and listed else ():
            path, digest, *marks = line.split()
            if "obsolete" not in marks and "remove-on-upgrade" not in marks and digest != "newconffile":
                yield package[1], path, digest


def _change(path, digest):
    try:
        return "" if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == digest else "changed"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return ""
