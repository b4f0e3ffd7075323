"""Looking after a bucket: what in it is not as published, and what nobody needs any more."""

import time

import insync_publish_head
import insync_publish_plan as plan
from insync_publish_plan import Refused
from insync_store_parts import parallel

DAY = 86400


def drift(store, manifests):
    """
    Return how ``store`` (insync_store.Store) differs from ``manifests`` ({unit: Manifest}); {} if it does not.

    A dict of what there is of: head (str, what is wrong with head.json), behind ({unit: line}, what is not published),
    missing, changed (lists of keys that are not as the live units need them; ``publish`` with repair=True mends them)
    and unknown (list of keys that nobody has recorded). Raises StoreError.
    """
    head, listed = insync_publish_head.load(store), store.list()
    live = {unit: facts["id"] for unit, facts in head.units.items()}
    current = [manifest for unit, manifest in manifests.items() if live.get(unit) == plan.identity(manifest)]
    entries = {key: entry for manifest in current for key, entry in insync_publish_head.every(manifest).items()}
    entries |= {key: entry for key, (_, entry) in plan.legacy({m.unit: m for m in current}).items()}
    there = [key for key in entries if key in listed]
    doubtful = [key for key in there if head.objects.get(key) != _as_listed(entries[key], listed[key])]
    published = [key for key in head.objects if head.sha256(key)]
    named = {*published, *(key for manifest in manifests.values() for key in insync_publish_head.every(manifest))}
    found = {
        "head": "" if head.sound else f"{insync_publish_head.KEY} is {'corrupt' if head.etag else 'missing'}",
        "behind": {unit: _behind(head, manifest) for unit, manifest in manifests.items() if manifest not in current},
        "missing": sorted(entries.keys() - listed.keys()),
        "changed": _differing(store, doubtful, entries),
        "unknown": sorted(k for k in listed.keys() - named if not k.startswith(insync_publish_head.FOLDER)),
    }
    return {name: value for name, value in found.items() if value}


def sweep(store, manifests, days, test=True):
    """
    Delete what nobody needs from ``store`` (insync_store.Store): what no manifest names and is older than ``days``.

    manifests (list of Manifest): all that are retained. days (float): how long everything stays after it was put.
    test (bool): only tell. What changes in place, head.json, and whatever is not in the folder of a published family
    (such as a key file) is never deleted.

    Returns a dict: keys (list of str, what is or would be deleted), size (int, bytes).
    Raises Refused if something live is none of ``manifests``; StoreError.
    """
    head = insync_publish_head.load(store)
    if not head.sound:
        raise Refused(f"{store.name}: {insync_publish_head.KEY} is missing or corrupt; run sync_repos first")
    known = {plan.identity(manifest) for manifest in manifests}
    keep = {key for manifest in manifests for key in insync_publish_head.every(manifest)}
    if strange := sorted(unit for unit, facts in head.units.items() if facts["id"] not in known):
        remedy = "run sync_repos first; nothing is swept"
        raise Refused(f"{store.name}: {', '.join(strange)}: what is live is not retained here; {remedy}")
    families = tuple({f"{unit.split('/')[0]}/" for unit in head.units})
    protected = {key for facts in head.units.values() for key in facts["keys"]}.union(keep)
    listed, before = store.list(), (store.clock or time.time()) - days * DAY
    old = {key for key, item in listed.items() if item.modified < before and key.startswith(families)}
    keys = sorted(key for key in old - protected if not key.endswith(insync_publish_head.COMMITS))
    if keys and not test:
        # First of all nobody may believe that they are there.
        for key in keys:
            head.objects.pop(key, None)
        insync_publish_head.save(store, head)
        parallel(store.delete, keys)
    return {"keys": keys, "size": sum(listed[key].size for key in keys)}


def _as_listed(entry, item):
    return entry["sha256"], item.size, item.etag


def _differing(store, keys, entries):
    there = {item.key: (item.sha256, item.size) for item in parallel(store.head, keys) if item}
    return sorted(key for key in keys if there.get(key) != (entries[key]["sha256"], entries[key]["size"]))


def _behind(head, manifest):
    live = head.units.get(manifest.unit)
    return f"serial {live['serial'] if live else 'none'} is live, serial {manifest.serial} is current here"
