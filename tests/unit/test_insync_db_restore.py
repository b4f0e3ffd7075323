"""Whether a backup can be restored here, and up to where, found out before anything is touched."""

import hashlib
import subprocess
import types

import insync_db_restore as restore
import pytest

MANIFEST = {"id": "2026-03-02T013000Z", "gtid": "0-17-100", "server_version": "10.11.6-MariaDB-log"}


@pytest.fixture
def here(monkeypatch):
    """What the program here says of its version."""

    def says(text):
        done = types.SimpleNamespace(stdout=text)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    return says


@pytest.mark.parametrize("version", ["10.11.4-MariaDB", "10.11.19-MariaDB", "11.4.2-MariaDB"])
def test_a_backup_of_the_same_or_an_older_mariadb_is_restored(here, version):
    here(f"/usr/sbin/mariadbd  Ver {version} for debian-linux-gnu on x86_64 (Debian 12)\n")
    restore.check_version(MANIFEST)


@pytest.mark.parametrize(
    "wanted, version, message",
    [
        ("11.4.2-MariaDB", "10.11.19", "version: the backup is of MariaDB 11.4.2, and here is 10.11.19"),
        ("10.11.6-MariaDB", "10.6.22", "and here is 10.6.22"),
        (None, "10.11.19", "is not to be known"),
        ("10.11.6-MariaDB", "", "is not to be known"),
    ],
)
def test_a_backup_of_a_newer_one_is_refused(here, wanted, version, message):
    here(f"mariadbd  Ver {version}-MariaDB\n")
    with pytest.raises(restore.RestoreError, match=message):
        restore.check_version({**MANIFEST, "server_version": wanted})


def test_without_the_program_it_is_told(monkeypatch):
    monkeypatch.setattr(restore, "_PROGRAM", "/nonexistent/mariadbd")
    with pytest.raises(restore.RestoreError, match="version: .*No such file"):
        restore.check_version(MANIFEST)


@pytest.mark.parametrize("until", ["", "0-17-100", "0-17-101", "0-18-101", "2026-03-02 01:30:00"])
def test_from_the_backup_on_every_moment_can_be_asked_for(until):
    restore.check_until(until, MANIFEST)


@pytest.mark.parametrize(
    "until, message", [("0-17-99", "is before"), ("2026-03-02 01:29:59", "is before"), ("x", "GTID")]
)
def test_what_is_before_the_backup_or_no_moment_is_refused(until, message):
    with pytest.raises(restore.RestoreError, match=f"until: .*{message}"):
        restore.check_until(until, MANIFEST)


@pytest.mark.parametrize(
    "begins, first",
    [
        (["", "0-17-90", "0-17-110"], 1),
        # The replica was the primary for a while, and what a log begins with names both for ever.
        (["", "0-18-50,0-17-90", "0-18-50,0-17-110"], 1),
        (["", "0-18-50,0-17-100", "0-18-50,0-17-110"], 1),
    ],
)
def test_the_logs_that_go_on_from_a_backup(monkeypatch, begins, first):
    there = {number: types.SimpleNamespace(key=number) for number in range(len(begins))}
    monkeypatch.setattr(restore.insync_db_archive, "logs", lambda _: {("replica", "data"): there})

    def head(number):
        return types.SimpleNamespace(number=number, meta={"begins": begins[number]})

    bucket = types.SimpleNamespace(head=head)
    items = restore.logs_from(bucket, {**MANIFEST, "server": "replica", "lineage": "data"})
    assert [item.number for item in items] == list(range(first, len(begins)))


class Bucket:
    """A bucket with one object, which breaks off where it is told to."""

    def __init__(self, content, ends=None):
        self.content, self.ends = content, ends

    def read(self, name):
        assert name == "one"
        for start in range(0, len(self.content), 2**16):
            if self.ends is not None and start >= self.ends:
                raise OSError("the store is gone")
            yield self.content[start : start + 2**16]


# More than a pipe takes.
CONTENT = bytes(range(256)) * 2048
WANTED = hashlib.sha256(CONTENT).hexdigest()


def test_what_is_fetched_is_read_meanwhile():
    with restore._fetched(Bucket(CONTENT), "one", WANTED) as source:
        assert source.read() == CONTENT


@pytest.mark.parametrize("read", [0, 100, len(CONTENT)])
def test_what_is_not_as_it_was_put_there_is_told_however_far_it_was_read(read):
    with pytest.raises(restore.RestoreError, match="checksum: one: it is not what was put there"):
        with restore._fetched(Bucket(CONTENT[:-1] + b"x"), "one", WANTED) as source:
            source.read(read)
            raise restore.RestoreError("decrypt", "age: it is spoiled")


def test_of_a_good_object_it_is_told_what_went_wrong_with_it():
    with pytest.raises(restore.RestoreError, match="decrypt: age: wrong key"):
        with restore._fetched(Bucket(CONTENT), "one", WANTED):
            raise restore.RestoreError("decrypt", "age: wrong key")


def test_what_does_not_come_whole_is_told_and_not_what_was_made_of_it():
    with pytest.raises(OSError, match="the store is gone"):
        with restore._fetched(Bucket(CONTENT, ends=2**17), "one", WANTED) as source:
            assert len(source.read()) == 2**17
            raise restore.RestoreError("decrypt", "age: unexpected end")
