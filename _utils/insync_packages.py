"""What an operator asks for when a release is made: names of packages, with a version or without."""

import re

import insync_inventory
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

MOST = 50


class PackageError(ValueError):
    """What was asked for is no package of the application; the message names it."""


def parse(words, pins):
    """
    Return what ``words`` ask for: a dict name (str) -> version (str), "" for the newest.

    words (list of str): such as ``insync-web==2.4.0`` or ``insync-core``; none at all asks for the newest of all.
    pins (str): the lock of the release in service; only what is in it can be updated.
    Raises PackageError that names the word.
    """
    known, found = names(pins), {}
    if len(words) > MOST:
        raise PackageError(f"{len(words)} packages are more than the {MOST} that are taken at once")
    for word in map(str, words):
        name, version = _parsed(word)
        if name not in known:
            raise PackageError(f"{name}: not a package of this release{insync_inventory.hint(name, known)}")
        if name in found:
            raise PackageError(f"{name}: asked for twice")
        found[name] = version
    return found or dict.fromkeys(known, "")


def names(pins):
    """Return ``{name: version}`` of the requirements in the lock ``pins`` (str)."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s\\;]+)", pins, re.MULTILINE))


def changes(old, new):
    """Return ``{name: {"old": version, "new": version}}`` of what differs between two locks (str)."""
    before, after = names(old), names(new)
    return {
        name: {"old": before.get(name, ""), "new": after.get(name, "")}
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    }


def _parsed(word):
    match = re.fullmatch(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==([A-Za-z0-9.!+_-]+))?", word)
    if not match:
        raise PackageError(f"{word!r}: neither a name nor name==version; paths, addresses and options are not taken")
    try:
        return canonicalize_name(match[1]), str(Version(match[2])) if match[2] else ""
    except InvalidVersion as exc:
        raise PackageError(f"{word!r}: '{match[2]}' is not a version") from exc
