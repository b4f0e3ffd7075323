"""What a unit of a repository holds at one serial: its packages, and each file that clients ask for."""

import dataclasses
import json
import re

import insync_files

PACKAGE = (".deb", ".rpm")
GROUPS = ("immutable", "commit", "pair", "legacy")
UNIT = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(r"(?!.*(^|/)\.{0,2}(/|$))[A-Za-z0-9._+~:/-]+")


class RepositoryError(ValueError):
    """A repository cannot do what is asked for; the message is one line that says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """
    One serial of one unit.

    root (str): ``apt`` or ``yum``. unit (str): such as ``ubuntu/noble``. serial (int): ascending.
    date (int): seconds since the epoch, those in the signed index. by, what (str): who did what.
    packages (dict): name -> list of versions, ascending.
    immutable, commit, pair, legacy (dict): key -> ``{"sha256": str, "size": int}``, by when they are published.
    """

    root: str
    unit: str
    serial: int
    date: int
    by: str
    what: str
    packages: dict
    immutable: dict
    commit: dict
    pair: dict
    legacy: dict

    def keys(self):
        """Return every key (dict: key -> entry)."""
        return {**self.immutable, **self.commit, **self.pair, **self.legacy}

    def versions(self):
        """Return the versions (set of str) of which it has a package."""
        return {version for versions in self.packages.values() for version in versions}

    def offers(self, version):
        """Whether ``version`` (str) of some package is in it."""
        return version in self.versions()

    def files(self):
        """Return the packages' files (dict: key -> entry)."""
        return {key: entry for key, entry in self.immutable.items() if key.endswith(PACKAGE)}


def read(path):
    """Return the Manifest in the file ``path`` (pathlib.Path). Raises RepositoryError, or OSError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(**document)
    except (ValueError, TypeError) as exc:
        raise RepositoryError(f"{path}: no manifest: {exc}; take it back from the backup") from exc
    validate(manifest, path)
    return manifest


def write(path, manifest):
    """Write ``manifest`` (Manifest) to the file ``path`` (pathlib.Path), whole or not at all. Raises OSError."""
    validate(manifest, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # An indent, or a copy of each value, takes ten times as long; a thousand packages are usual.
    insync_files.replace(path, json.dumps(vars(manifest), sort_keys=True) + "\n")


def validate(manifest, where="manifest"):
    """Raise RepositoryError, beginning with ``where`` (str or path), if ``manifest`` (Manifest) is not as it says."""
    wrong = next(_wrong(manifest), None)
    if wrong:
        raise RepositoryError(f"{where}: {wrong}; take it back from the backup")


def _wrong(manifest):
    if manifest.root not in ("apt", "yum"):
        yield f"root {manifest.root!r} is neither apt nor yum"
    if not isinstance(manifest.unit, str) or not UNIT.fullmatch(manifest.unit):
        yield f"unit {manifest.unit!r} is not such as ubuntu/noble"
    for name, least in (("serial", 1), ("date", 1)):
        value = getattr(manifest, name)
        if type(value) is not int or value < least:
            yield f"{name} {value!r} is no whole number from {least}"
    for name in ("by", "what"):
        if not isinstance(getattr(manifest, name), str):
            yield f"{name} is no text"
    for name in ("packages", *GROUPS):
        if not isinstance(getattr(manifest, name), dict):
            yield f"{name} is no dictionary"
            return
    for name, versions in manifest.packages.items():
        if not isinstance(versions, list) or not versions or not all(isinstance(each, str) for each in versions):
            yield f"package {name!r} has no list of versions"
    for group in GROUPS:
        for key, entry in getattr(manifest, group).items():
            if not KEY.fullmatch(key):
                yield f"key {key!r} is no path below the root"
            if not _is_entry(entry):
                yield f"key {key!r} has no sha256 and size"
    if len(manifest.commit) != 1:
        yield f"{len(manifest.commit)} keys to commit, not one"


def _is_entry(entry):
    if not isinstance(entry, dict) or set(entry) != {"sha256", "size"}:
        return False
    sha256, size = entry["sha256"], entry["size"]
    return isinstance(sha256, str) and bool(SHA256.fullmatch(sha256)) and type(size) is int and size >= 0
