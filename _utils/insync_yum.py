"""The index of a yum release: at its plain place, and at one for each serial, where the mirror list leads."""

import concurrent.futures
import gzip
import hashlib
import os
import re
import shutil
import threading
import zlib

import insync_manifest
import insync_tool

INDEX = ["createrepo_c", "--quiet", "--no-database", "--general-compress-type=gz", "--update", "--skip-stat"]
# It skips a package that it cannot read, and succeeds, without this.
INDEX += ["--error-exit-val", "--set-timestamp-to-revision"]
ABOVE = b"../../"


class Builder:
    """Makes the releases of one run; what several share is made once."""

    def __init__(self, root, signer, folder):
        """root (insync_root.Root), signer (insync_gpg.Signer), folder (pathlib.Path): an empty one of our own."""
        self._root, self._signer, self._folder = root, signer, folder
        self._indexes, self._lock, self._ring = {}, threading.Lock(), None

    @staticmethod
    def key(unit, package, name):
        """Return the key (str) of the file ``name`` (str) of ``package`` (str) in ``unit`` (str)."""
        return f"{unit}/Packages/{name}"

    def check(self, paths):
        """
        Return those of the packages ``paths`` (list of pathlib.Path) that nobody has signed yet.

        Raises insync_manifest.RepositoryError if somebody else has signed one.
        """
        unsigned = []
        for path in paths:
            if self._signed(path):
                continue
            said = insync_tool.attempt(["rpmkeys", "--dbpath", self._keys(), "--checksig", path])
            if said.returncode:
                told = f"{path.name}: is signed, but not by {self._signer.fingerprint}; build it anew, unsigned"
                raise insync_manifest.RepositoryError(told)
            unsigned.append(path)
        return unsigned

    def sign(self, paths):
        """
        Sign those of the packages ``paths`` (list of pathlib.Path) that are not, in place.

        Raises insync_manifest.RepositoryError.
        """
        unsigned = self.check(paths)
        if unsigned:
            self._signer.sign_rpms(unsigned)
        for path in unsigned:
            if not self._signed(path):
                raise insync_manifest.RepositoryError(f"{path.name}: rpmsign has not signed it")

    def build(self, plan, stage):
        """
        Write the index of ``plan`` (insync_repos.Plan) to ``stage`` (insync_root.Stage), signed, and the mirror list.

        Returns a dict: immutable, commit, pair, legacy (key -> entry). Raises insync_manifest.RepositoryError, OSError.
        """
        own = f"{plan.unit}/snapshots/{plan.serial}"
        plain, snapshot = self._index(plan)
        immutable = dict(plan.files)
        immutable |= {f"{own}/repodata/{name}": content for name, content in snapshot.items()}
        immutable |= {f"{plan.unit}/repodata/{name}": content for name, content in plain.items()}
        staged = {key: stage.put(key, each) if isinstance(each, bytes) else each for key, each in immutable.items()}
        pair = {key: staged.pop(key) for key in (f"{plan.unit}/repodata/repomd.xml{end}" for end in ("", ".asc"))}
        mirror = f"{self._root.settings['url'].rstrip('/')}/{own}/\n".encode()
        commit = {f"{plan.unit}/mirrorlist": stage.put(f"{plan.unit}/mirrorlist", mirror)}
        return {"immutable": staged, "commit": commit, "pair": pair, "legacy": {}}

    def _keys(self):
        """A database of keys with only ours in it."""
        if self._ring is None:
            ring, key = self._folder / "keys", self._folder / "key.asc"
            key.write_bytes(self._signer.public())
            insync_tool.run(["rpmkeys", "--dbpath", ring, "--import", key])
            self._ring = ring
        return self._ring

    def _signed(self, path):
        command = ["rpmkeys", "--dbpath", self._keys(), "--define", "_pkgverify_level all", "--checksig", path]
        return insync_tool.attempt(command).returncode == 0

    def _index(self, plan):
        """The files of both indexes, by their names."""
        names = {os.path.basename(key): entry for key, entry in plan.files.items()}
        group = tuple(sorted((name, entry["sha256"]) for name, entry in names.items()))
        with self._lock:
            if group not in self._indexes:
                self._indexes[group] = self._make(plan, names)
            return self._indexes[group]

    def _make(self, plan, names):
        tree, former = self._folder / "tree", self._folder / "former"
        for folder in (tree, former):
            shutil.rmtree(folder, ignore_errors=True)
        (tree / "Packages").mkdir(parents=True)
        (former / "repodata").mkdir(parents=True)
        for name, entry in names.items():
            os.link(self._root.path(entry["sha256"]), tree / "Packages" / name)
        self._bring(plan, former / "repodata")
        command = [*INDEX, f"--revision={plan.date}"]
        command += ["--update-md-path", former] if plan.sources else []
        insync_tool.run([*command, tree])
        plain = {path.name: path.read_bytes() for path in (tree / "repodata").iterdir()}
        snapshot, packages = _above(plain)
        if packages != sorted(f"Packages/{name}" for name in names):
            raise insync_manifest.RepositoryError(f"{plan.unit}: the index is not the list of its packages")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            signatures = pool.map(lambda files: self._signer.detach(files["repomd.xml"]), (plain, snapshot))
            both = zip((plain, snapshot), signatures, strict=True)
            return [{**files, "repomd.xml.asc": signature} for files, signature in both]

    def _bring(self, plan, folder):
        """The metadata of former serials: createrepo_c reads only the packages that are not in there."""
        for manifest in plan.sources[:1]:
            start = f"{plan.unit}/repodata/"
            for key, entry in manifest.keys().items():
                if key.startswith(start):
                    (folder / key.removeprefix(start)).write_bytes(self._root.read(entry))


def _above(files):
    """The same metadata, for two folders below: only where the packages are differs. And where that is."""
    name = next(name for name in files if name.endswith("-primary.xml.gz"))
    text = zlib.decompress(files[name], wbits=31)
    moved = text.replace(b'<location href="', b'<location href="' + ABOVE)
    packed = gzip.compress(moved, 6, mtime=0)
    block = re.search(rb'<data type="primary">.*?</data>', files["repomd.xml"], re.DOTALL)[0]
    said = block
    for old, new in ((files[name], packed), (text, moved)):
        said = said.replace(_sha256(old), _sha256(new)).replace(b"size>%d<" % len(old), b"size>%d<" % len(new))
    others = {key: content for key, content in files.items() if key != name}
    # Of no packages it is the same file.
    primary = {f"{_sha256(packed).decode()}-primary.xml.gz": packed}
    files = {**others, **primary, "repomd.xml": files["repomd.xml"].replace(block, said)}
    return files, sorted(re.findall('<location href="([^"]*)"', text.decode()))


def _sha256(content):
    return hashlib.sha256(content).hexdigest().encode()
