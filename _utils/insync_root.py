"""The tree of one local repository: objects by their checksum, manifests, and what is current."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import time

import insync_files
import insync_manifest

SUITES = {"apt": "suites", "yum": "releases"}
WIPES = 50


class Root:
    """Where one repository is, and how it is declared."""

    def __init__(self, home, name, declared):
        """
        home (str or pathlib.Path): the folder of both repositories. name (str): ``apt`` or ``yum``.

        declared (dict): the pillar ``repos``. Raises insync_manifest.RepositoryError if something is not there.
        """
        self.name, self.folder = name, pathlib.Path(home) / name
        try:
            self.settings, self.retain, self.build_key = declared[name], declared["retain"], declared["build_key"]
            groups = self.settings[SUITES[name]]
            self.architectures, self._file = self.settings["architectures"], self.settings["file"]
            self._packages = self.settings["packages"]
        except KeyError as exc:
            raise insync_manifest.RepositoryError(f"repos:{name}: {exc.args[0]} is not declared") from exc
        self.units = [f"{family}/{release}" for family, releases in groups.items() for release in releases]

    def wanted(self, version):
        """Return what ``version`` (insync_version.Version) has: a list of (package, architecture, file name)."""
        own = self._packages if isinstance(self._packages, dict) else {}
        return [
            (package, architecture, self._file.format(package=package, version=version, architecture=architecture))
            for package in self._packages
            for architecture in own.get(package) or self.architectures
        ]

    def beginning(self, package, version):
        """Return what the names (str) of the files of ``package`` (str) of ``version`` (str) begin with."""
        return self._file.partition("{architecture}")[0].format(package=package, version=version)

    def path(self, sha256):
        """Return where the object ``sha256`` (str) is (pathlib.Path)."""
        return self.folder / "objects" / sha256[:2] / sha256

    def holds(self, entry):
        """Whether the object of ``entry`` (dict of a manifest) is here, in its size."""
        path = self.path(entry["sha256"])
        return path.exists() and path.stat().st_size == entry["size"]

    def read(self, entry):
        """Return the object (bytes) of ``entry`` (dict). Raises insync_manifest.RepositoryError if it is not that."""
        path = self.path(entry["sha256"])
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise insync_manifest.RepositoryError(f"{path}: missing or changed; take it back from the backup")
        return content

    def keep(self, files):
        """Move ``files`` (dict: pathlib.Path -> entry) into the objects; a power cut leaves them. Raises OSError."""
        new = {path: entry for path, entry in files.items() if not self.holds(entry)}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(_lasting, new))
            for path, entry in new.items():
                target = self.path(entry["sha256"])
                target.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    os.replace(path, target)
            folders = {self.path(entry["sha256"]).parent for entry in new.values()}
            list(pool.map(_lasting, folders | {path.parent for path in folders}))

    def manifest(self, unit, serial):
        """Return where the manifest of ``serial`` (int) of ``unit`` (str) is (pathlib.Path)."""
        return self.folder / "manifests" / unit / f"{serial}.json"

    def manifests(self, unit):
        """Return where the manifests are (list of pathlib.Path) that ``unit`` (str) has had current, ascending."""
        last = self.serials().get(unit, 0)
        # What is above is from a run that was cut.
        paths = {int(path.stem): path for path in (self.folder / "manifests" / unit).glob("[1-9]*.json")}
        return [paths[serial] for serial in sorted(paths) if serial <= last]

    def history(self, unit):
        """Return these manifests (list of Manifest). Raises insync_manifest.RepositoryError, or OSError."""
        return [insync_manifest.read(path) for path in self.manifests(unit)]

    def current(self):
        """Return what is current (dict: unit -> Manifest). Raises insync_manifest.RepositoryError, or OSError."""
        return {unit: insync_manifest.read(self.manifest(unit, serial)) for unit, serial in self.serials().items()}

    def serials(self):
        """Return which serial is current (dict: unit -> int). Raises insync_manifest.RepositoryError."""
        path = self.folder / "current.json"
        if not path.exists():
            return {}
        try:
            serials = json.loads(path.read_text(encoding="utf-8"))
            return {str(unit): int(serial) for unit, serial in serials.items()}
        except (ValueError, TypeError, AttributeError) as exc:
            raise insync_manifest.RepositoryError(f"{path}: damaged; take it back from the backup") from exc

    def commit(self, manifests):
        """Make ``manifests`` (list of Manifest), whose objects are here, current in one moment. Raises OSError."""
        for manifest in manifests:
            insync_manifest.write(self.manifest(manifest.unit, manifest.serial), manifest)
        serials = self.serials() | {manifest.unit: manifest.serial for manifest in manifests}
        insync_files.replace(self.folder / "current.json", json.dumps(serials, indent=1, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def staging(self):
        """Yield a private folder (pathlib.Path) on the disk of the objects while the block runs. Raises OSError."""
        folder = self.folder / "staging"
        _wipe(folder)
        folder.mkdir(parents=True, mode=0o700)
        for name in ("new", "build"):
            (folder / name).mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class Stage:
    """What clients are going to ask for, in a folder as they would see it."""

    def __init__(self, folder):
        """folder (pathlib.Path): the root of the keys."""
        self.folder, self.files = folder, {}

    def put(self, key, content):
        """Let ``content`` (bytes) be what is under ``key`` (str); return its entry (dict). Raises OSError."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        self.files[path] = entry
        return entry


def _lasting(path):
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _wipe(folder):
    # A program that a killed run had started may still write there for a moment.
    for left in range(WIPES, -1, -1):
        try:
            return shutil.rmtree(folder) if folder.exists() else None
        except OSError:
            if not left:
                raise
            time.sleep(0.1)
