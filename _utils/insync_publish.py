"""
Publishing manifests to a bucket, so that each client sees the former state or the new one of a unit, whole.

Everything that never changes goes up first. Then one conditional write for each unit makes it live. What old clients
read by a fixed name follows, and head.json, the record of it all, comes last. Whatever ends it half way leaves what
clients read whole; the next run finds what is there by conditional writes that are refused, and goes on.
"""

import random
import time

import insync_publish_head
import insync_publish_memory
import insync_publish_plan as plan
import insync_publish_put
import insync_store_probe
from insync_store_errors import Conflict, StoreError
from insync_store_parts import parallel

# How often others may write head.json while we want to.
TRIES = 20


def live(store):
    """
    Return what is live in ``store`` (insync_store.Store): {unit: {"serial", "date", "by", "what", "packages", ...}}.

    By head.json; if that is missing or corrupt, by what is there: then nobody knows by, what and packages.
    Raises StoreError.
    """
    head = insync_publish_head.load(store)
    return (head if head.sound else insync_publish_head.rebuild(store, head.etag, {})).units


def publish(store, manifests, path, memory, say=lambda line: None, test=False, repair=False):
    """
    Make ``manifests`` live in a bucket; one request if they are.

    store (insync_store.Store): the bucket. manifests ({unit: Manifest}): what is to be live of each unit.
    path (callable: sha256 -> pathlib.Path): where an object is on this disk.
    memory (str or pathlib.Path): a file for what this server remembers of its buckets; made if need be.
    say (callable: str): is told what goes on. test (bool): only look.
    repair (bool): believe nothing that is recorded, look at everything in the bucket and mend it.

    Returns a dict: published ({unit: serial} of what was not live as a whole), uploaded (number of objects), requests
    (int); with ``test`` also keys (list of str, what would go up).
    Raises StoreError, also Refused if it would take back what somebody else has published or clients would not take it;
    OSError if something on this disk cannot be read. The other units are live as a whole or as before.
    """
    before, remembered = store.requests, insync_publish_memory.Memory(memory, store)
    head = _head(store, None if repair else remembered, manifests, path, repair)
    units = plan.changed(head, manifests)
    plan.check(head, units, remembered, store.clock)
    run = _Run(store, head, units, insync_publish_put.Put(store, head, path, remembered), plan.legacy(manifests))
    keys = sorted({*run.immutable, *(key for unit in units for key in run.lacking(unit))})
    told = {"published": {unit: manifest.serial for unit, manifest in units.items()}, "uploaded": len(keys)}
    if test:
        return {**told, "requests": store.requests - before, "keys": keys}
    if units or not head.sound:
        run.publish(remembered, say)
    elif remembered.head[0] != head.etag:
        remembered.keep(head=(head.etag, head.content()))
    return {**told, "requests": store.requests - before}


def _head(store, memory, manifests, path, repair):
    head = insync_publish_head.load(store, memory)
    if head.sound and not repair:
        return head
    found = insync_publish_head.rebuild(store, head.etag, manifests, path)
    found.recorded = {key: head.sha256(key) for key in head.objects}
    # What is as it is recorded keeps what is known of it.
    found.objects |= {key: was for key, was in head.objects.items() if found.etag_of(key) == head.etag_of(key)}
    found.units |= {unit: was for unit, was in head.units.items() if found.units.get(unit, {}).get("id") == was["id"]}
    return found


class _Run:
    """One publication of what has changed."""

    def __init__(self, store, head, units, put, legacy):
        self.store, self.head, self.units, self.put, self.legacy = store, head, dict(units), put, legacy
        self.immutable, self.etags = plan.immutable(head, units), {}

    def publish(self, memory, say):
        if not memory.tested:
            insync_store_probe.check(self.store)
            memory.keep(tested=True)
        self.upload(self.immutable)
        say(f"{len(self.immutable)} immutable objects are there")
        # Known before it is live: if this ends here, the next one builds on it.
        memory.keep(own={unit: plan.identity(manifest) for unit, manifest in self.units.items()})
        refused = self.commit()
        for unit, manifest in sorted(self.units.items()):
            say(f"{unit}: serial {manifest.serial} is live")
        parallel(self.pair, self.units)
        parallel(self.follow, {key for manifest in self.units.values() for key in manifest.legacy})
        head = self.record()
        memory.keep(head=(head.etag, head.content()))
        if refused:
            raise refused[0]

    def lacking(self, unit):
        """Return the keys (set of str) of the mutable objects of ``unit`` (str) that are to be put."""
        manifest, live = self.units[unit], self.head.units.get(unit, {})
        entries = {**manifest.commit, **manifest.pair, **{key: self.legacy[key][1] for key in manifest.legacy}}
        moved = manifest.commit if live.get("id") != plan.identity(manifest) else ()
        return {key for key, entry in entries.items() if self.head.sha256(key) != entry["sha256"]}.union(moved)

    def upload(self, entries):
        self.etags.update(parallel(lambda item: (item[0], self.put.immutable(*item)), entries.items()))

    def commit(self):
        refused = {}

        def one(unit):
            try:
                self.etags.update(self.put.commit(self.units[unit]))
            except plan.Refused as exc:
                refused[unit] = exc

        parallel(one, [unit for unit, manifest in self.units.items() if self.lacking(unit) & manifest.commit.keys()])
        for unit in refused:
            del self.units[unit]
        return list(refused.values())

    def pair(self, unit):
        # At the same moment: between the two a client may find one that does not sign the other.
        manifest, lacking = self.units[unit], self.lacking(unit)
        pair = [(key, entry, manifest) for key, entry in manifest.pair.items() if key in lacking]
        for etags in parallel(lambda args: self.put.follow(*args), pair):
            self.etags.update(etags)

    def follow(self, key):
        manifest, entry = self.legacy[key]
        if self.head.sha256(key) != entry["sha256"]:
            self.etags.update(self.put.follow(key, entry, manifest))

    def record(self):
        head = self.head
        for _ in range(TRIES):
            # What we have found there may have been swept since.
            entries = {key: entry for manifest in self.units.values() for key, entry in manifest.immutable.items()}
            gone = [key for key in entries if key not in self.etags and head.sha256(key) != entries[key]["sha256"]]
            self.upload({key: entries[key] for key in gone})
            self.merge(head)
            try:
                insync_publish_head.save(self.store, head)
                return head
            except Conflict:
                time.sleep(random.uniform(0, 0.2))
                head = insync_publish_head.load(self.store)
        raise StoreError(f"{self.store.name}: it is live, but others keep writing head.json; run sync_repos again")

    def merge(self, head):
        for unit, manifest in self.units.items():
            if head.units.get(unit, {"serial": 0})["serial"] > manifest.serial:
                continue
            head.units[unit] = plan.record(manifest)
            entries = {**insync_publish_head.every(manifest), **{key: self.legacy[key][1] for key in manifest.legacy}}
            for key in entries.keys() & self.etags.keys():
                head.objects[key] = (entries[key]["sha256"], entries[key]["size"], self.etags[key])
