"""Backups of MariaDB in their bucket: what each key means, and which backups count."""

import datetime
import json
import re

import insync_store

PHYSICAL, LOGICAL, LOGS, VERIFIED = "physical", "logical", "binlogs", "verified"
KINDS = (PHYSICAL, LOGICAL)
MANIFEST = "manifest.json"
# boto3 has authorities of its own; the site's are the system's.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_ID = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}Z")
_MANIFEST = re.compile(rf"({PHYSICAL}|{LOGICAL})/({_ID.pattern})/{re.escape(MANIFEST)}")
_LOG = re.compile(rf"{LOGS}/([^/]+)/([^/]+)/([^/]+\.(\d+))\.zst\.age")


class ArchiveError(ValueError):
    """The backups in the bucket are not what they should be; the message says which, and why."""


def store(where, access, secret):
    """Return the insync_store.Store of ``where`` (dict of the pillar); access, secret (str): the key."""
    return insync_store.Store(
        where["bucket"],
        access,
        secret,
        endpoint=where["endpoint"] or None,
        region=where["region"],
        ca=AUTHORITIES,
        acl=None,
        seconds=300,
    )


def new_id(now=None):
    """Return the id (str) of a backup that begins ``now`` (datetime.datetime, the present if left out)."""
    return (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")


def time_of(backup):
    """Return when the backup with that id (str) began (datetime.datetime)."""
    return datetime.datetime.strptime(backup, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=datetime.UTC)


def age_hours(backup, now=None):
    """Return how many hours (float) ago the backup with that id (str) began."""
    return ((now or datetime.datetime.now(datetime.UTC)) - time_of(backup)) / datetime.timedelta(hours=1)


def put(bucket, kind, backup, file, facts):
    """
    Put a backup, and last of all its manifest: one without does not exist.

    bucket (insync_store.Store). kind, backup (str): of the backup. file (pathlib.Path): what it consists of, encrypted.
    facts (dict): what the manifest says beside.
    Returns the manifest (dict). Raises insync_store_errors.StoreError; nothing that is there is replaced.
    """
    key = f"{kind}/{backup}/{file.name}"
    size = file.stat().st_size
    bucket.put_new(key, file)
    sha256 = bucket.head(key).sha256
    manifest = {"id": backup, "kind": kind, **facts, "key": key, "bytes": size, "sha256": sha256}
    text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    bucket.put_new(f"{kind}/{backup}/{MANIFEST}", text, type="application/json")
    return manifest


def ids(bucket, kind):
    """Return the ids (list of str, the newest first) of the backups of ``kind`` (str) that have a manifest."""
    found = (_MANIFEST.fullmatch(key) for key in bucket.list(f"{kind}/"))
    return sorted((match[2] for match in found if match), reverse=True)


def manifest(bucket, kind, backup):
    """
    Return the manifest (dict) of a backup.

    Raises ArchiveError if there is none, or if it is not whole.
    """
    key = f"{kind}/{backup}/{MANIFEST}"
    there = bucket.get(key)
    if there is None:
        raise ArchiveError(f"{key}: there is no such backup in {bucket.name}")
    try:
        found = json.loads(there.body)
        told = found["id"], found["kind"], bool(found["sha256"] and found["tables"])
    except (ValueError, KeyError, TypeError) as exc:
        raise ArchiveError(f"{key}: it cannot be read") from exc
    if told != (backup, kind, True):
        raise ArchiveError(f"{key}: it is not about this backup, or names no table")
    return found


def leads_on(bucket, server, lineage):
    """
    Whether the newest physical backup is one from which the binary logs of ``server`` on ``lineage`` (str) go on.

    bucket (insync_store.Store). One that cannot be read leads nowhere.
    """
    newest = ids(bucket, PHYSICAL)[:1]
    try:
        found = [manifest(bucket, PHYSICAL, one) for one in newest]
    except ArchiveError:
        return False
    return [(one.get("server"), one.get("lineage")) for one in found] == [(server, lineage)]


def verified(bucket, backup):
    """Return what the verification of the backup with that id (str) said (dict), None if there was none."""
    there = bucket.get(f"{VERIFIED}/{backup}.json")
    return json.loads(there.body) if there else None


def log_key(server, lineage, name):
    """Return the key (str) of the binary log ``name`` that ``server`` wrote on data of ``lineage`` (all str)."""
    return f"{LOGS}/{server}/{lineage}/{name}.zst.age"


def logs(bucket):
    """Return {(server, lineage): {number: insync_store_parts.Object}} of the binary logs in the bucket."""
    found = {}
    for key, item in bucket.list(f"{LOGS}/").items():
        match = _LOG.fullmatch(key)
        if match:
            found.setdefault((match[1], match[2]), {})[int(match[4])] = item
    return found


def gaps(numbers):
    """Return the numbers (list of int) that are missing between the first and the last of ``numbers``."""
    numbers = set(numbers)
    return [one for one in range(min(numbers), max(numbers)) if one not in numbers] if numbers else []
