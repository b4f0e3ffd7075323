"""`_publish/head.json`: what is live in a bucket and which objects are known to be there, so that one request tells."""

import contextlib
import email.utils
import json
import re

from insync_store_parts import Content, parallel

FOLDER = "_publish/"
KEY = FOLDER + "head.json"
COMMITS = ("/InRelease", "/mirrorlist")


class Head:
    """
    What is in the bucket.

    units: {unit: {"serial", "date", "by", "what", "packages", "id", "keys" (of its mutable objects)}}
    objects: {key: [sha256 or None if it is not known, size, ETag]}
    recorded: {key: sha256} that head.json has said before everything was looked at.
    etag: of head.json in the bucket, None if it is not there. sound (bool): it is there and can be read.
    """

    def __init__(self, etag=None, content=None):
        """etag (str or None); content (dict): as ``content`` returns it."""
        self.etag, self.units, self.objects, self.recorded, self.sound = etag, {}, {}, {}, False
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            units = {unit: {**facts, "serial": int(facts["serial"])} for unit, facts in content["units"].items()}
            objects = {key: (sha256, int(size), etag) for key, (sha256, size, etag) in content["objects"].items()}
            self.units, self.objects, self.sound = units, objects, True

    def content(self):
        """Return what head.json holds (dict)."""
        return {"units": self.units, "objects": {key: list(value) for key, value in self.objects.items()}}

    def sha256(self, key):
        """Return the checksum (str) of the object ``key`` (str), None if it is not known to be there."""
        return self.objects.get(key, (None,))[0]

    def etag_of(self, key):
        """Return the ETag (str) of the object ``key`` (str), None if it is not known to be there."""
        return self.objects.get(key, (None, 0, None))[2]


def load(store, memory=None):
    """
    Return the Head of ``store`` (insync_store.Store), not sound if it is missing or corrupt; one request.

    memory (insync_publish_memory.Memory): spares reading what was seen before. Raises StoreError.
    """
    seen, content = memory.head if memory else (None, {})
    there = store.get(KEY, seen)
    if there is None:
        return Head()
    if there.body is not None:
        with contextlib.suppress(ValueError):
            return Head(there.etag, json.loads(there.body))
        return Head(there.etag)
    head = Head(seen, content)
    return head if head.sound else load(store)


def save(store, head):
    """Write ``head`` (Head) if head.json is still what it was made from. Raises StoreError, Conflict if not."""
    body = json.dumps(head.content(), sort_keys=True, separators=(",", ":")).encode()
    how = {"cache": "no-cache", "type": "application/json", "acl": None}
    head.etag = store.replace(KEY, body, head.etag, **how) if head.etag else store.put_new(KEY, body, **how)
    head.sound = True


def rebuild(store, etag, manifests, path=None):
    """
    Return the Head that a look at everything in ``store`` (insync_store.Store) gives.

    etag (str or None): that of head.json. manifests ({unit: Manifest}): whose objects are known again, if path
    (callable: sha256 -> pathlib.Path) says where they are on this disk. Raises StoreError, OSError.
    """
    head, listed = Head(etag), store.list()
    entries = [item for manifest in manifests.values() for item in every(manifest).items()] if path else []
    wanted = {(key, entry["sha256"]) for key, entry in entries if key in listed and listed[key].size == entry["size"]}
    etags = {sha256: Content(path(sha256)).etag() for sha256 in {sha256 for _, sha256 in wanted}}
    known = {key: sha256 for key, sha256 in wanted if listed[key].etag == etags[sha256]}
    head.objects = {key: (known.get(key), o.size, o.etag) for key, o in listed.items() if not key.startswith(FOLDER)}
    units = {key: unit for unit, manifest in manifests.items() for key in manifest.commit}
    commits = parallel(store.get, [key for key in head.objects if key.endswith(COMMITS) or key in units])
    head.units = dict(found for there in commits if (found := _unit(there, units)))
    return head


def every(manifest):
    """Return {key: entry} of all objects of ``manifest`` (Manifest)."""
    return {**manifest.immutable, **mutable(manifest)}


def mutable(manifest):
    """Return {key: entry} of those objects of ``manifest`` (Manifest) whose content changes."""
    return {**manifest.commit, **manifest.pair, **manifest.legacy}


def _unit(there, units):
    if there is None:
        return None
    nothing = {"by": "", "what": "", "packages": {}, "keys": [there.key]}
    with contextlib.suppress(KeyError, ValueError):
        facts = {"serial": int(there.meta["serial"]), "date": int(there.meta["date"]), "id": there.meta["id"]}
        return there.meta["unit"], {**facts, **nothing}
    # What others have put there has at most the date that it is signed with.
    signed = re.search(rb"^Date: *(.+?) *$", there.body, re.MULTILINE)
    date = email.utils.parsedate_tz(signed[1].decode(errors="replace")) if signed else None
    facts = {"serial": 0, "date": email.utils.mktime_tz(date) if date else 0, "id": ""}
    return (units[there.key], {**facts, **nothing}) if there.key in units else None
