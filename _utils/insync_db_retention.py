"""Which backups of the database go: what is kept of each day, week and month, and what is never removed."""

import datetime

import insync_db_archive as archive

# What was put without a manifest is no backup; but one may be on its way.
_ORPHAN = datetime.timedelta(days=2)


class RetentionError(ValueError):
    """Nothing may be removed; the message says why."""


def plan(bucket, keep, hours, now=None):
    """
    Return what is to be removed from ``bucket`` (insync_store.Store), the keys (list of str) in the order of removal.

    keep (dict): daily, weekly, monthly (of how many days, weeks and months the last backup of each is kept), logs (for
    how many days binary logs are). hours (float): how old the newest good physical backup may be at most.
    now (datetime.datetime): the present if left out.

    The newest of each kind stays, and so does the newest that was verified, with the binary logs since then.
    Raises RetentionError if there is none that was verified lately: then the old ones are all that there is.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    there = {kind: archive.ids(bucket, kind) for kind in archive.KINDS}
    proven = next((one for one in there[archive.PHYSICAL] if _good(bucket, one)), None)
    if proven is None or archive.age_hours(proven, now) > hours:
        what = f"the newest one is {proven}" if proven else "there is none"
        raise RetentionError(f"no physical backup of the last {hours:g} h was found good ({what}): nothing is removed")
    found = []
    for kind, ids in there.items():
        stay = kept(ids, keep) | {*ids[:1], proven}
        for one in ids:
            if one not in stay:
                # Without its manifest it does not exist any more, whatever happens to the rest.
                rest = [key for key in bucket.list(f"{kind}/{one}/") if not key.endswith(archive.MANIFEST)]
                found += [f"{kind}/{one}/{archive.MANIFEST}", *sorted(rest)]
                found += [f"{archive.VERIFIED}/{one}.json"] if kind == archive.PHYSICAL else []
    return [*found, *_orphans(bucket, there, now), *_logs(bucket, keep["logs"], proven, now)]


def _good(bucket, backup):
    said = archive.verified(bucket, backup)
    return bool(said) and said["outcome"] == "good"


def kept(ids, keep):
    """Return those of ``ids`` (list of str, the newest first) that ``keep`` (daily, weekly, monthly) keeps (set)."""
    periods = {"daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m"}
    found = set()
    for name, form in periods.items():
        last = {}
        for one in ids:
            last.setdefault(archive.time_of(one).strftime(form), one)
        found |= set(list(last.values())[: keep[name]])
    return found


def _orphans(bucket, there, now):
    before = (now - _ORPHAN).timestamp()
    for kind, ids in there.items():
        for key, item in bucket.list(f"{kind}/").items():
            if key.split("/")[1] not in ids and item.modified < before:
                yield key


def _logs(bucket, days, proven, now):
    before = min(now - datetime.timedelta(days=days), archive.time_of(proven)).timestamp()
    for numbers in archive.logs(bucket).values():
        yield from (item.key for _, item in sorted(numbers.items()) if item.modified < before)
