"""Backups of the database: which count, what is missing, how old they may be, and what dumps have to be."""

import datetime
import gzip
import json

import insync_db_archive as archive
import insync_db_backup as backup
import insync_db_contents as contents
import insync_db_record as record
import pytest
from insync_store_parts import Object

NOW = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.UTC)
MANIFEST = {"id": "2026-03-02T013000Z", "kind": "physical", "sha256": "0", "tables": {"a.b": {}}}


class Bucket:
    """A store with these objects."""

    name = "backups at s3"

    def __init__(self, **objects):
        self.objects = objects

    def list(self, prefix=""):
        return {key: Object(key, "", 0, 0) for key in self.objects if key.startswith(prefix)}

    def get(self, key):
        return Object(key, "", 0, 0, body=self.objects[key]) if key in self.objects else None


def test_a_backup_without_a_manifest_does_not_exist():
    keys = [
        "physical/2026-03-01T013000Z/manifest.json",
        "physical/2026-03-02T013000Z/manifest.json",
        "physical/2026-03-03T013000Z/backup.mbstream.zst.age",
        "physical/other/manifest.json",
        "logical/2026-03-04T013000Z/manifest.json",
    ]
    bucket = Bucket(**dict.fromkeys(keys, b""))
    assert archive.ids(bucket, "physical") == ["2026-03-02T013000Z", "2026-03-01T013000Z"]


@pytest.mark.parametrize(
    "body, message",
    [
        (json.dumps({**MANIFEST, "tables": {}}).encode(), "or names no table"),
        (json.dumps({**MANIFEST, "id": "other"}).encode(), "not about this backup"),
        (json.dumps({**MANIFEST, "kind": "logical"}).encode(), "not about this backup"),
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (json.dumps({"id": MANIFEST["id"], "kind": "physical"}).encode(), "cannot be read"),
    ],
)
def test_a_manifest_that_is_none(body, message):
    bucket = Bucket(**{"physical/2026-03-02T013000Z/manifest.json": body})
    with pytest.raises(archive.ArchiveError, match=message):
        archive.manifest(bucket, "physical", MANIFEST["id"])


def test_a_manifest():
    bucket = Bucket(**{"physical/2026-03-02T013000Z/manifest.json": json.dumps(MANIFEST).encode()})
    assert archive.manifest(bucket, "physical", MANIFEST["id"]) == MANIFEST
    with pytest.raises(archive.ArchiveError, match="there is no such backup in backups at s3"):
        archive.manifest(bucket, "physical", "2026-03-03T013000Z")


@pytest.mark.parametrize(
    "newest, leads",
    [
        ({"server": "db2", "lineage": "x"}, True),
        ({"server": "db2", "lineage": "y"}, False),
        ({"server": "db1", "lineage": "x"}, False),
        ({}, False),
        ({"tables": {}, "server": "db2", "lineage": "x"}, False),
    ],
)
def test_binary_logs_go_on_from_the_newest_backup_only(newest, leads):
    own = {**MANIFEST, "server": "db2", "lineage": "x"}
    later = {**MANIFEST, "id": "2026-03-02T020000Z", **newest}
    told = {f"physical/{one['id']}/manifest.json": json.dumps(one).encode() for one in (own, later)}
    assert archive.leads_on(Bucket(**told), "db2", "x") is leads
    assert archive.leads_on(Bucket(), "db2", "x") is False


def test_binary_logs_and_their_gaps():
    keys = [archive.log_key("db2", "x", f"mariadb-bin.00000{number}") for number in (1, 2, 5)]
    found = archive.logs(Bucket(**dict.fromkeys([*keys, "binlogs/db2/x/other"], b"")))
    assert list(found) == [("db2", "x")] and sorted(found["db2", "x"]) == [1, 2, 5]
    assert archive.gaps(found["db2", "x"]) == [3, 4]
    assert archive.gaps([]) == archive.gaps([7]) == archive.gaps([7, 8]) == []


def test_ids_are_times():
    assert archive.new_id(NOW) == "2026-03-02T120000Z"
    assert archive.age_hours("2026-03-02T013000Z", NOW) == 10.5


@pytest.mark.parametrize(
    "kind, hours, at, up, stale",
    [
        ("physical", 26, "2026-03-02T013000Z", 99, False),
        ("physical", 26, "2026-03-01T093000Z", 99, True),
        ("binlogs", 1, None, 99, True),
        # It could not be made while the server was down.
        ("binlogs", 1, None, 0.5, False),
        ("physical", 26, "2026-03-01T013000Z", 0.5, False),
        ("physical", 26, "2026-03-01T013000Z", 2, True),
    ],
)
def test_what_is_stale(tmp_path, kind, hours, at, up, stale):
    entry = {"id": at} if at else {"at": "2026-03-02T10:30:00+00:00"}
    (tmp_path / "record").write_text(json.dumps({kind: entry}))
    lines = record.stale({kind: hours}, NOW, up, tmp_path / "record")
    assert bool(lines) is stale
    assert all(line.startswith(f"{kind}: the last good one was ") for line in lines)


def test_what_was_never_made_is_stale_in_time(tmp_path):
    file = tmp_path / "record"
    assert record.stale({"physical": 26}, NOW, 99, file) == []
    file.write_text(json.dumps({record.BEGUN: {"at": "2026-03-01T09:00:00+00:00"}}))
    assert record.stale({"physical": 28}, NOW, 99, file) == []
    assert record.stale({"physical": 26}, NOW, 99, file) == [
        "physical: the last good one was never, in 27.0 h, and 26 h are allowed"
    ]


def test_a_record_keeps_the_other_kinds(tmp_path):
    record.note("physical", {"id": "a"}, tmp_path / "sub" / "record")
    record.note("binlogs", {"until": "0-1-2"}, tmp_path / "sub" / "record")
    found = record.read(tmp_path / "sub" / "record")
    assert (found["physical"]["id"], found["binlogs"]["until"]) == ("a", "0-1-2")


KEY = "age1" + "q" * 58


def test_recipients():
    assert backup.recipients({"ops": KEY, "verify": KEY}) == ["--recipient", KEY] * 2
    for declared, message in (({}, "nobody is declared"), ({"ops": "age1x"}, "ops: that is no public key")):
        with pytest.raises(backup.BackupError, match=message):
            backup.recipients(declared)


def dump(folder, name, text, kind="daily"):
    path = folder / kind / name / f"{name}_2026-03-02.Monday.sql.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else gzip.compress(text.encode()))


WHOLE = "CREATE TABLE a (b INT);\n-- Dump completed on 2026-03-02 12:00:00\n"


def test_a_whole_dump(tmp_path):
    dump(tmp_path, "insync", WHOLE)
    dump(tmp_path, "insync", WHOLE, "monthly")
    assert backup._checked(tmp_path, "insync", None) == len(WHOLE)
    assert backup._checked(tmp_path, "insync", len(WHOLE)) == len(WHOLE)


@pytest.mark.parametrize(
    "text, before, message",
    [
        (None, None, "0 dumps of insync, and one was wanted"),
        ("CREATE TABLE a (b INT);\n", None, "cut off"),
        ("", None, "cut off"),
        ("-- Dump completed\nINSERT INTO a VALUES (1),", None, "cut off"),
        (gzip.compress(WHOLE.encode(), mtime=0)[:-9], None, "the dump of insync: "),
        (WHOLE, 2 * len(WHOLE), "had 130 last time"),
    ],
)
def test_what_is_no_dump(tmp_path, text, before, message):
    if text is not None:
        dump(tmp_path, "insync", text)
    with pytest.raises(backup.BackupError, match=message):
        backup._checked(tmp_path, "insync", before)


FOUND = {"tables": {"a.b": {"rows": 2, "checksum": 7}}, "objects": {"users": {"web@x": "1"}, "views": {}}}


@pytest.mark.parametrize(
    "found, line",
    [
        (FOUND, None),
        ({**FOUND, "tables": {}}, "table a.b is missing"),
        ({**FOUND, "tables": {**FOUND["tables"], "a.c": {}}}, "table a.c is too much"),
        ({**FOUND, "tables": {"a.b": {"rows": 1, "checksum": 7}}}, "table a.b has 1 rows, and had 2"),
        ({**FOUND, "tables": {"a.b": {"rows": 2, "checksum": 8}}}, "table a.b has other rows than it had"),
        ({**FOUND, "objects": {"users": {}, "views": {}}}, "users: web@x is missing"),
        ({**FOUND, "objects": {"users": {"web@x": "2"}, "views": {}}}, "users: web@x differs"),
        ({**FOUND, "objects": {**FOUND["objects"], "views": {"v": "1"}}}, "views: v is too much"),
    ],
)
def test_differences(found, line):
    assert contents.differences(FOUND, found) == ([line] if line else [])
