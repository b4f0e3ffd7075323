"""What was changed of what packages brought."""

import hashlib
import re

import insync_survey_system


def conffiles(system):
    """
    Return the configuration files of packages that somebody has changed or removed.

    A list of dict: path, package, change (changed, missing), by. Nothing of their content is told.
    """
    rows = []
    for path, (package, change) in _changes(system).items():
        if not (change == "missing" and path in system.plan.get("gone", ())):
            # The package owns it, which says nothing about who changed it.
            by_whom = system.declared(path, marked=True)
            rows.append({"path": path, "package": package, "change": change, "by": by_whom})
    return rows


def by(system, name):
    """
    Return why ``name`` (str) is there, as ``system.by``; "" for what a package brought and somebody changed.

    So what is in it belongs to nobody: a job of /etc/crontab, a site in a default one, a packaged unit. Nor does what
    somebody wrote where our states will.
    """
    found = system.by(name, marked=True)
    if not found.startswith("package "):
        return found
    return "" if name in _changes(system) or _is_other(system, name, found.removeprefix("package ")) else found


def _changes(system):
    """{path of a configuration file that was changed or removed: (package, which of both)}."""
    if system.changes is None:
        system.changes, status = {}, system.text("/var/lib/dpkg/status", 50_000_000)
        for package, path, digest in (*_of_dpkg(status), *_of_ucf(system, status)):
            change = _change(system.path(path), digest)
            if change:
                system.changes.setdefault(path, (package, change))
    return system.changes


def _is_other(system, name, package):
    """Whether ``name``, no configuration file, is not as ``package`` brought it: those have a digest there."""
    if package not in system.digests:
        texts = [
            system.text(file, 50_000_000)
            for end in ("", ":*")
            for file in system.glob(f"/var/lib/dpkg/info/{package}{end}.md5sums")
        ]
        pairs = (line.split(None, 1) for line in "\n".join(texts).splitlines())
        system.digests[package] = {f"/{path.strip()}": digest for digest, path in pairs}
    digests = system.digests[package]
    # Since /lib is a link into /usr, packages name files either way.
    digest = digests.get(name) or digests.get(name.removeprefix("/usr")) or digests.get(f"/usr{name}")
    path = system.path(name)
    return digest is not None and not path.is_symlink() and _change(path, digest) == "changed"


def _installed(status):
    """The name of each package that is installed, and what else dpkg knows of it."""
    for block in status.split("\n\n"):
        package = re.search(r"^Package: (\S+)", block, re.MULTILINE)
        if package and re.search(r"^Status: \S+ \S+ installed$", block, re.MULTILINE):
            yield package[1], block


def _of_dpkg(status):
    for package, block in _installed(status):
        listed = re.search(r"^Conffiles:\n((?: .*\n?)+)", block, re.MULTILINE)
        for line in listed[1].splitlines() if listed else ():
            path, digest, *marks = line.split()
            if "obsolete" not in marks and "remove-on-upgrade" not in marks and digest != "newconffile":
                yield package, path, digest


def _of_ucf(system, status):
    """Those that a package makes when it is installed, such as sshd_config: dpkg does not know them."""
    owners = {path: package for package, path in _pairs(system, "registry")}
    asked = {None, *(package for package, _ in _installed(status))}
    for digest, path in _pairs(system, "hashfile"):
        # Of a package that was removed they stay, and of some it was never noted whose they are.
        if owners.get(path) in asked:
            yield owners.get(path, "an unknown package"), path, digest


def _pairs(system, name):
    words = (line.split(None, 1) for line in system.text(f"/var/lib/ucf/{name}").splitlines())
    return [(pair[0], pair[1].strip()) for pair in words if len(pair) == 2]


def _change(path, digest):
    try:
        with insync_survey_system.opened(path) as file:
            return "" if hashlib.file_digest(file, _md5).hexdigest() == digest else "changed"
    except FileNotFoundError:
        return "missing"
    except OSError as exc:
        # A folder or a pipe is none that a package brought.
        return "changed" if exc.errno is None else ""


def _md5():
    return hashlib.md5(usedforsecurity=False)
