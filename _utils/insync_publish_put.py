"""How each kind of object goes up: never over what is newer, and as often as is needed, with the same end."""

import hashlib

import insync_publish_head
import insync_publish_plan as plan
from insync_publish_plan import Refused
from insync_store_errors import Conflict, StoreError

FOREVER, NEVER = "public, max-age=31536000, immutable", "no-cache"
TYPES = {
    ".deb": "application/vnd.debian.binary-package",
    ".rpm": "application/x-rpm",
    ".gz": "application/gzip",
    ".xml": "application/xml",
    "": "text/plain; charset=utf-8",
}
PLAIN = ("InRelease", "Release", "mirrorlist", ".asc", ".gpg", ".key")
# How often somebody else may be faster.
TRIES = 3


class Put:
    """What one publication needs for every object."""

    def __init__(self, store, head, path, memory):
        """
        store (insync_store.Store), head (insync_publish_head.Head): where, and what is there.
        path (callable: sha256 -> pathlib.Path), memory (insync_publish_memory.Memory).
        """
        self.store, self.head, self.path, self.memory = store, head, path, memory

    def immutable(self, key, entry):
        """
        See to it that the object ``key`` (str) is there as ``entry`` (dict) says; return its ETag (str).

        Raises Refused if there is something else, StoreError, OSError.
        """
        try:
            return self._put(key, entry, None, FOREVER, {})
        except Conflict:
            there = self.store.head(key)
        # What other tools have put has no checksum; it is read once.
        if there and (there.sha256 or self._read(key)) == entry["sha256"]:
            return there.etag
        # It has been what it should be, or is named by what is in it: somebody has damaged it.
        if there and (entry["sha256"] in key or self.head.recorded.get(key) == entry["sha256"]):
            return self._put(key, entry, there.etag, FOREVER, {})
        raise Refused(f"{key}: there is other content under this name at {self.store.name}; bump the version or serial")

    def commit(self, manifest):
        """
        Let ``manifest`` (Manifest) be what clients see of its unit; return {key: ETag}.

        Raises Refused if somebody else has published the unit since ``head``, StoreError, OSError.
        """
        ((key, entry),) = manifest.commit.items()
        return {key: self._settle(key, entry, manifest, self._refuse_others)}

    def follow(self, key, entry, manifest):
        """Put a pair or legacy object of ``manifest``; return {key: ETag}, {} if there is one of a newer serial."""
        etag = self._settle(key, entry, manifest, _is_newer)
        return {key: etag} if etag else {}

    def _settle(self, key, entry, manifest, leave):
        meta = {"unit": manifest.unit, "serial": str(manifest.serial), "date": str(manifest.date)}
        meta |= {"id": plan.identity(manifest)}
        etag = self.head.etag_of(key)
        for _ in range(TRIES):
            try:
                return self._put(key, entry, etag, NEVER, meta)
            except Conflict:
                there = self.store.head(key)
            if there and there.meta.get("id") == meta["id"] and there.sha256 == entry["sha256"]:
                return there.etag
            if there and there.etag != self.head.etag_of(key) and leave(there, manifest):
                return None
            etag = there.etag if there else None
        raise StoreError(f"{key}: others at {self.store.name} were faster {TRIES} times; run sync_repos again")

    def _refuse_others(self, there, manifest):
        own = there.meta.get("id", "") in ("", *self.memory.own(manifest.unit))
        if own and not _is_newer(there, manifest):
            return False
        live = insync_publish_head.load(self.store).units.get(manifest.unit, {})
        if live.get("id") != there.meta.get("id"):
            live = {"serial": _number(there, "serial"), "date": _number(there, "date"), "by": ""}
        raise Refused(f"{plan.said(manifest.unit, live)}; run sync_repos again (with repair=True if that does not end)")

    def _put(self, key, entry, etag, cache, meta):
        how = {"sha256": entry["sha256"], "cache": cache, "type": media_type(key), "meta": meta}
        body = self.path(entry["sha256"])
        return self.store.replace(key, body, etag, **how) if etag else self.store.put_new(key, body, **how)

    def _read(self, key):
        digest = hashlib.sha256()
        for piece in self.store.read(key):
            digest.update(piece)
        return digest.hexdigest()


def _is_newer(there, manifest):
    return _number(there, "serial") > manifest.serial


def _number(there, name):
    text = there.meta.get(name, "")
    return int(text) if text.isdecimal() else 0


def media_type(key):
    """Return the media type (str) of the object ``key`` (str), None if it does not matter."""
    if key.endswith(PLAIN):
        return TYPES[""]
    return next((kind for end, kind in TYPES.items() if end and key.endswith(end)), None)
