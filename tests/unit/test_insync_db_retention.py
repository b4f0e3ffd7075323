"""Which backups go, seen over more than a year of them."""

import datetime
import json

import insync_db_archive as archive
import insync_db_retention as retention
import pytest
from insync_store_parts import Object

KEEP = {"daily": 7, "weekly": 5, "monthly": 12, "logs": 35}
DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 1, 1, 1, 30, tzinfo=datetime.UTC)


class Bucket:
    """A store whose objects are as old as their backups."""

    def __init__(self):
        self.objects = {}

    def add(self, key, when, body=b""):
        self.objects[key] = Object(key, "", 0, when.timestamp(), body=body)

    def backup(self, when, kind="physical", outcome="good"):
        one = archive.new_id(when)
        self.add(f"{kind}/{one}/file", when)
        self.add(f"{kind}/{one}/manifest.json", when)
        if kind == "physical" and outcome:
            self.add(f"verified/{one}.json", when, json.dumps({"outcome": outcome}).encode())
        return one

    def list(self, prefix=""):
        return {key: item for key, item in self.objects.items() if key.startswith(prefix)}

    def get(self, key):
        return self.objects.get(key)

    def prune(self, now):
        keys = retention.plan(self, KEEP, 26, now)
        for key in keys:
            self.objects.pop(key, None)
        return keys


def test_four_hundred_days():
    bucket = Bucket()
    for day in range(400):
        now = START + day * DAY
        for kind in archive.KINDS:
            bucket.backup(now, kind)
        bucket.add(archive.log_key("db2", "x", f"mariadb-bin.{day:06}"), now)
        bucket.prune(now + DAY / 24)
    for kind in archive.KINDS:
        left = archive.ids(bucket, kind)
        days = [archive.time_of(one).date() for one in left]
        assert days[:7] == [(now - number * DAY).date() for number in range(7)]
        # Months and weeks that are the last days' own are no further backups.
        assert len({(one.year, one.month) for one in days}) == 12
        assert len({one.isocalendar()[:2] for one in days if (now.date() - one).days < 35}) == 5
        assert len(left) <= 7 + 5 + 12
    assert len(bucket.list("verified/")) == len(archive.ids(bucket, "physical"))
    (logs,) = archive.logs(bucket).values()
    assert sorted(logs) == list(range(365, 400))


def test_the_newest_that_was_found_good_stays_with_the_logs_since_then():
    bucket = Bucket()
    proven = bucket.backup(START)
    bucket.add(archive.log_key("db2", "x", "mariadb-bin.000001"), START - DAY)
    bucket.add(archive.log_key("db2", "x", "mariadb-bin.000002"), START + DAY)
    for day in range(1, 40):
        bucket.backup(START + day * DAY, outcome="failed")
    keys = retention.plan(bucket, KEEP, 26 + 40 * 24, START + 39 * DAY)
    assert not any(proven in key for key in keys)
    assert [key for key in keys if key.startswith("binlogs/")] == [archive.log_key("db2", "x", "mariadb-bin.000001")]


@pytest.mark.parametrize("outcomes", [[], [None], ["failed"], ["restored, but differs"]])
def test_nothing_goes_while_none_is_found_good(outcomes):
    bucket = Bucket()
    for outcome in outcomes:
        bucket.backup(START, outcome=outcome)
    with pytest.raises(retention.RetentionError, match=r"was found good \(there is none\): nothing is removed"):
        retention.plan(bucket, KEEP, 26, START + DAY)


def test_nothing_goes_after_a_good_one_that_is_old():
    bucket = Bucket()
    bucket.backup(START)
    with pytest.raises(retention.RetentionError, match="the newest one is 2026-01-01T013000Z"):
        retention.plan(bucket, KEEP, 26, START + 2 * DAY)


def test_a_manifest_goes_before_what_it_names():
    bucket = Bucket()
    for day in range(60):
        bucket.backup(START + day * DAY)
    keys = retention.plan(bucket, KEEP, 26, START + 59 * DAY)
    (first, *rest) = keys
    assert first.endswith("/manifest.json") and rest[0] == first.replace("manifest.json", "file")


def test_what_has_no_manifest_goes_when_nobody_can_be_at_it():
    bucket = Bucket()
    bucket.backup(START + 9 * DAY)
    bucket.add("physical/2026-01-03T013000Z/file", START + 2 * DAY)
    bucket.add("physical/2026-01-09T013000Z/file", START + 8 * DAY)
    assert retention.plan(bucket, KEEP, 26, START + 9 * DAY) == ["physical/2026-01-03T013000Z/file"]
