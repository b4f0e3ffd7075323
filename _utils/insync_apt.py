"""The index of an apt suite: one signed file names all others by their checksums."""

import email.utils
import gzip
import hashlib
import os
import re
import threading

import insync_manifest
import insync_tool

STANZA = ["apt-ftparchive", *(f"-oAPT::FTPArchive::{hash}=false" for hash in ("MD5", "SHA1", "SHA512")), "packages"]


class Builder:
    """Makes the suites of one run; what several share is made once."""

    def __init__(self, root, signer, folder):
        """root (insync_root.Root), signer (insync_gpg.Signer), folder (pathlib.Path): an empty one of our own."""
        self._root, self._signer, self._folder = root, signer, folder
        self._stanzas, self._seen, self._indexes, self._lock = {}, set(), {}, threading.Lock()

    @staticmethod
    def check(paths):
        """Nothing: a .deb bears no signature; the index does."""

    @staticmethod
    def sign(paths):
        """Nothing: see ``check``."""

    def key(self, unit, package, name):
        """Return the key (str) of the file ``name`` (str) of ``package`` (str): one for all suites of a family."""
        family = unit.partition("/")[0]
        return f"{family}/pool/{self._root.settings['components'][0]}/{package[0]}/{package}/{name}"

    def build(self, plan, stage):
        """
        Write the index of ``plan`` (insync_repos.Plan) to ``stage`` (insync_root.Stage), signed.

        Returns a dict: immutable, commit, pair, legacy (key -> entry). Raises insync_manifest.RepositoryError, OSError.
        """
        family, _, codename = plan.unit.partition("/")
        top, listed = f"{family}/dists/{codename}", []
        immutable, legacy = dict(plan.files), {}
        for component in self._root.settings["components"]:
            files = plan.files if component == self._root.settings["components"][0] else {}
            for architecture in self._root.architectures:
                folder = f"{component}/binary-{architecture}"
                plain, packed = self._index(plan, files, architecture)
                legacy[f"{top}/{folder}/Packages.gz"] = entry = stage.put(f"{top}/{folder}/Packages.gz", packed)
                by_hash = f"{top}/{folder}/by-hash/SHA256/{entry['sha256']}"
                immutable[by_hash] = stage.put(by_hash, packed)
                listed += [(plain, f"{folder}/Packages"), (packed, f"{folder}/Packages.gz")]
        release = self._release(codename, plan.date, listed)
        inline, detached = self._signer.clearsign_and_detach(release)
        legacy[f"{top}/Release"] = stage.put(f"{top}/Release", release)
        legacy[f"{top}/Release.gpg"] = stage.put(f"{top}/Release.gpg", detached)
        commit = {f"{top}/InRelease": stage.put(f"{top}/InRelease", inline)}
        return {"immutable": immutable, "commit": commit, "pair": {}, "legacy": legacy}

    def _index(self, plan, files, architecture):
        """The list of packages, plain and compressed."""
        names = {key.partition("/")[2]: entry for key, entry in files.items() if _is_for(key, architecture)}
        group = tuple(sorted((name, entry["sha256"]) for name, entry in names.items()))
        with self._lock:
            if group not in self._indexes:
                self._learn(plan.sources)
                self._make({name: entry for name, entry in names.items() if entry["sha256"] not in self._stanzas})
                text = b"".join(self._stanzas[sha256] + b"\n\n" for _, sha256 in group)
                if sorted(re.findall(rb"^Filename: (.*)$", text, re.MULTILINE)) != [name.encode() for name, _ in group]:
                    raise insync_manifest.RepositoryError(f"{plan.unit}: the index is not the list of its packages")
                # 6 is a third of the time of 9, and a hundredth larger.
                self._indexes[group] = text, gzip.compress(text, 6, mtime=0)
            return self._indexes[group]

    def _learn(self, manifests):
        """Take the stanzas from the indexes that there are."""
        for manifest in manifests:
            for key, entry in manifest.legacy.items():
                if key.endswith("/Packages.gz") and entry["sha256"] not in self._seen:
                    self._seen.add(entry["sha256"])
                    self._add(gzip.decompress(self._root.read(entry)))

    def _make(self, names):
        """Let apt's own tool describe packages; it skips what it cannot read, so they are counted."""
        if not names:
            return
        for name, entry in names.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._root.path(entry["sha256"]), path)
        described = insync_tool.run([*STANZA, "pool"], directory=self._folder)
        self._add(described)
        for name, entry in names.items():
            os.unlink(self._folder / name)
            if f"\nFilename: {name}\n".encode() not in self._stanzas.get(entry["sha256"], b"") + b"\n":
                raise insync_manifest.RepositoryError(f"{name}: apt-ftparchive does not describe it; build it anew")

    def _add(self, text):
        for stanza in text.strip().split(b"\n\n"):
            if found := re.search(rb"^SHA256: ([0-9a-f]{64})$", stanza, re.MULTILINE):
                self._stanzas[found[1].decode()] = stanza.strip()

    def _release(self, codename, date, listed):
        settings = self._root.settings
        head = {
            "Origin": settings["origin"],
            "Label": settings["origin"],
            "Suite": codename,
            "Codename": codename,
            "Date": email.utils.formatdate(date, usegmt=True).replace("GMT", "UTC"),
            "Architectures": " ".join(self._root.architectures),
            "Components": " ".join(settings["components"]),
            "Acquire-By-Hash": "yes",
        }
        rows = [f"{name}: {value}" for name, value in head.items()] + ["SHA256:"]
        rows += [f" {hashlib.sha256(content).hexdigest()} {len(content):>8} {name}" for content, name in listed]
        return ("\n".join(rows) + "\n").encode()


def _is_for(key, architecture):
    return key.removesuffix(".deb").rpartition("_")[2] in (architecture, "all")
