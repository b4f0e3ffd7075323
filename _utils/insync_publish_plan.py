"""What has to go up so that manifests become live, and whether that would take anything from anybody."""

import email.utils
import hashlib
import json

import insync_publish_head
from insync_store_errors import StoreError

# apt refuses what was signed more than 10 s after what its own clock says.
AHEAD = 10


class Refused(StoreError):
    """It is not published: it would take back what somebody else has published, or clients would not take it."""


def identity(manifest):
    """Return what tells ``manifest`` (Manifest) from all others of the same serial (str)."""
    content = {key: entry["sha256"] for key, entry in insync_publish_head.every(manifest).items()}
    facts = [manifest.root, manifest.unit, manifest.serial, manifest.date, content]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def record(manifest):
    """Return what head.json says of the unit once ``manifest`` (Manifest) is live (dict)."""
    facts = {name: getattr(manifest, name) for name in ("serial", "date", "by", "what")}
    packages = {name: list(versions) for name, versions in manifest.packages.items()}
    keys = sorted(insync_publish_head.mutable(manifest))
    return {**facts, "id": identity(manifest), "packages": packages, "keys": keys}


def legacy(manifests):
    """Return {key: (Manifest, entry)} of the legacy objects of ``manifests``; of one that several name, the newest."""
    ascending = sorted(manifests.values(), key=lambda manifest: manifest.date)
    return {key: (manifest, entry) for manifest in ascending for key, entry in manifest.legacy.items()}


def changed(head, manifests):
    """Return those of ``manifests`` ({unit: Manifest}) that are not live as a whole, by ``head`` (Head)."""
    shared, found = legacy(manifests), {}
    for unit, manifest in manifests.items():
        wanted = {**insync_publish_head.every(manifest), **{key: shared[key][1] for key in manifest.legacy}}
        there = all(head.sha256(key) == entry["sha256"] for key, entry in wanted.items())
        if not there or head.units.get(unit) != record(manifest):
            found[unit] = manifest
    return found


def check(head, manifests, memory, clock):
    """
    Raise Refused if one of ``manifests`` ({unit: Manifest}) must not follow what is live by ``head`` (Head).

    memory (insync_publish_memory.Memory): what this server has published. clock (float or None): the store's time.
    """
    for unit, manifest in manifests.items():
        live = head.units.get(unit)
        # Put by another tool, but the same.
        same = live and not live["id"] and head.sha256(live["keys"][0]) is not None
        if live and live["id"] != identity(manifest) and not same:
            _check(unit, manifest, live, live["id"] in memory.own(unit))
        if clock and manifest.date > clock + AHEAD:
            raise Refused(
                f"{unit}: serial {manifest.serial} is of {_day(manifest.date)}, for the store it is {_day(clock)}: "
                "clients refuse what comes from the future; set the clock and make a newer serial"
            )


def _check(unit, manifest, live, own):
    # Whoever builds on what this server has published may drop packages; others must not by accident.
    lost = [] if own else _lost(live["packages"], manifest.packages)
    if not own and (lost or manifest.serial <= live["serial"]):
        lacks = f", and ours lacks {', '.join(lost[:5])}" if lost else f", and ours is serial {manifest.serial}"
        remedy = f"add {'that' if lost else 'what it has'} here, and run sync_repos again"
        raise Refused(f"{said(unit, live)}{lacks}; {remedy}")
    if manifest.serial <= live["serial"] or manifest.date <= live["date"]:
        raise Refused(
            f"{unit}: serial {live['serial']} of {_day(live['date'])} is live, and serial {manifest.serial} of "
            f"{_day(manifest.date)} is not newer, so that clients would not take it; make a newer serial "
            "(and look at this server's clock)"
        )


def said(unit, live):
    """Return who has published ``unit`` (str) as it is, by what head.json says of it, ``live`` (dict), as a line."""
    who = f" by {live['by']} ({live['what']})" if live["by"] else ""
    return f"{unit}: serial {live['serial']} of {_day(live['date'])} was published{who} meanwhile"


def immutable(head, manifests):
    """
    Return {key: entry} of the immutable objects of ``manifests`` ({unit: Manifest}) that are not there by ``head``.

    Raises Refused if there is something else.
    """
    found = {}
    for manifest in manifests.values():
        for key, entry in manifest.immutable.items():
            there = head.sha256(key) or found.get(key, entry)["sha256"]
            if there != entry["sha256"]:
                raise Refused(f"{key}: it is published with other content, and never changes; bump the version")
            if not head.sha256(key):
                found[key] = entry
    return found


def _lost(live, ours):
    return [f"{name} {one}" for name, versions in live.items() for one in versions if one not in ours.get(name, ())]


def _day(seconds):
    return email.utils.formatdate(seconds, usegmt=True)
