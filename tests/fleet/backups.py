"""The bucket with the backups of the database: what is put there, spoiled, and taken away, with its users' keys."""

import contextlib
import datetime
import hashlib
import json
import time

import insync_db_archive

from lab import podman, s3
from tests.fleet import web

NAME = "insync_db_backups"
PHYSICAL = insync_db_archive.PHYSICAL


@contextlib.contextmanager
def newest_left(bucket):
    """Of the backups that are made while the block runs the newest one alone is left in ``bucket`` (Bucket)."""
    there = set(bucket.ids())
    try:
        yield
    finally:
        bucket.remove(*[one for one in bucket.ids()[1:] if one not in there])


class Bucket:
    """The bucket; this machine has no way there but through the cloud's network."""

    def __init__(self):
        # Who verifies reads and writes, who keeps the bucket small deletes, and only its owner says who may what.
        self._writer, self._remover = (s3.client(web.SECRETS[role]) for role in ("db_verifier", "backup_retention"))
        self._owner, self._last = s3.client(), ""

    def _ask(self, function, **told):
        client = self._owner if function.endswith("policy") else self._writer
        client = self._remover if function == "delete_object" else client
        with podman.network("cloud"):
            answer = getattr(client, function)(Bucket=NAME, **told)
            # Its body has to be read in the same network.
            return {**answer, "Body": answer["Body"].read()} if "Body" in answer else answer

    def keys(self, prefix=""):
        """Return all keys (list of str) that begin with ``prefix`` (str)."""
        found, more = [], {}
        while True:
            answer = self._ask("list_objects_v2", Prefix=prefix, **more)
            found += [one["Key"] for one in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return found
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def ids(self):
        """Return the ids (list of str) of the physical backups that exist, the newest first."""
        found = [key.split("/")[1] for key in self.keys(f"{PHYSICAL}/") if key.endswith(insync_db_archive.MANIFEST)]
        return sorted(found, reverse=True)

    def get(self, key):
        """Return (body, metadata) of the object ``key`` (str)."""
        answer = self._ask("get_object", Key=key)
        return answer["Body"], answer["Metadata"]

    def put(self, key, body, meta):
        """Write the object ``key`` (str): body (bytes), meta ({str: str})."""
        self._ask("put_object", Key=key, Body=body, Metadata=meta)

    def delete(self, *keys):
        """Delete the objects ``keys`` (str), those that are there."""
        for key in keys:
            self._ask("delete_object", Key=key)

    def manifest(self, backup):
        """Return the manifest (dict) of the physical backup with that id (str)."""
        return json.loads(self.get(_manifest(backup))[0])

    def said(self, backup):
        """Return what a verification has recorded of that backup (dict), {} if nothing."""
        key = f"{insync_db_archive.VERIFIED}/{backup}.json"
        return json.loads(self.get(key)[0]) if self.keys(key) else {}

    def new_id(self):
        """Return the id (str) of a backup that is newer than all that are there."""
        there = [key.split("/")[1] for key in self.keys(f"{PHYSICAL}/")]
        newest = max([self._last, *there])
        while (found := insync_db_archive.new_id()) <= newest:
            time.sleep(0.2)
        self._last = found
        return found

    @contextlib.contextmanager
    def another(self, manifest, body, backup="", text=None, **facts):
        """
        Let there be a backup like that of ``manifest`` (dict), newer than all others, while the block runs.

        body (bytes): what its object is; None for no object at all. backup (str): its id; made if left out.
        text (bytes): what its manifest is, b"" for no manifest at all; left out, one that fits, but for ``facts``.
        Yields its id (str).
        """
        backup = backup or self.new_id()
        key = f"{PHYSICAL}/{backup}/backup.mbstream.zst.age"
        checksum = hashlib.sha256(body or b"").hexdigest()
        # Its heartbeat was a good one when it was made.
        beat = insync_db_archive.time_of(backup) - datetime.timedelta(seconds=1)
        own = {"id": backup, "key": key, "sha256": checksum, "bytes": len(body or b"")}
        made = {**manifest, **own, "heartbeat": f"{beat:%Y-%m-%d %H:%M:%S}", **facts}
        text = json.dumps(made).encode() if text is None else text
        try:
            if body is not None:
                self.put(key, body, {"sha256": checksum})
            if text:
                self.put(_manifest(backup), text, {})
            yield backup
        finally:
            self.delete(_manifest(backup), key, f"{insync_db_archive.VERIFIED}/{backup}.json")

    @contextlib.contextmanager
    def without(self, *keys):
        """Let the objects ``keys`` (str) not be there while the block runs."""
        kept = {key: self.get(key) for key in keys}
        try:
            self.delete(*keys)
            yield
        finally:
            for key, (body, meta) in kept.items():
                self.put(key, body, meta)

    @contextlib.contextmanager
    def instead(self, key, body, sound=False):
        """
        Let the object ``key`` (str) be ``body`` (bytes) while the block runs.

        sound (bool): its recorded checksum fits; else it is what it was.
        """
        meta = self.get(key)[1]
        with self.without(key):
            self.put(key, body, {**meta, "sha256": hashlib.sha256(body).hexdigest()} if sound else meta)
            yield

    @contextlib.contextmanager
    def refusing(self):
        """Let nobody in but its owner while the block runs."""
        policy = self._ask("get_bucket_policy")["Policy"]
        try:
            self._ask("delete_bucket_policy")
            yield
        finally:
            self._ask("put_bucket_policy", Policy=policy)

    def remove(self, *backups):
        """Delete physical backups by their ids (str), manifest first, as retention does."""
        for backup in backups:
            self.delete(_manifest(backup), *self.keys(f"{PHYSICAL}/{backup}/"))
            self.delete(f"{insync_db_archive.VERIFIED}/{backup}.json")


def _manifest(backup):
    return f"{PHYSICAL}/{backup}/{insync_db_archive.MANIFEST}"
