"""Copies of MariaDB: what is half, what is whole, and what a donor must have said."""

import io
import json
import struct

import insync_mariadb_seed as seed
import pytest
from insync_mariadb import DatabaseError


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setattr(seed.shutil, "chown", lambda path, user, group: None)
    data, folder = tmp_path / "mysql", tmp_path / "mysql.incoming"
    for place in (data, folder):
        (place / "mysql").mkdir(parents=True)
    (data / "old").touch()
    (folder / "ibdata1").write_text("new")
    (folder / seed.SEEDING).touch()
    return folder, data


def test_a_copy_takes_the_place_of_what_was_there(places):
    folder, data = places
    seed.take_over(folder, data, {"from": "db", "gtid": "0-1-2"})
    assert sorted(path.name for path in data.iterdir()) == [seed.MARKER, "ibdata1", "mysql"]
    assert (seed.marker(data)["gtid"], seed.half(data), folder.exists()) == ("0-1-2", False, False)


@pytest.mark.parametrize("broken", ["rename", "chown", "mark"])
def test_one_that_is_cut_short_is_half(places, monkeypatch, broken):
    folder, data = places

    def fail(*_):
        raise OSError("cut")

    where = {"rename": seed.os, "chown": seed.shutil, "mark": seed}[broken]
    monkeypatch.setattr(where, broken, fail)
    with pytest.raises(OSError, match="cut"):
        seed.take_over(folder, data, {"gtid": "0-1-2"})
    assert seed.half(data) and seed.marker(data) is None


def test_what_is_empty(tmp_path):
    assert seed.empty(tmp_path / "none") and seed.empty(tmp_path)
    (tmp_path / "debian-10.11.flag").touch()
    assert seed.empty(tmp_path)
    (tmp_path / "ibdata1").touch()
    assert not seed.empty(tmp_path)


def test_a_marker_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / seed.MARKER).write_text("{")
    with pytest.raises(DatabaseError, match=r"insync-seed.json: cannot be read"):
        seed.marker(tmp_path)


@pytest.mark.parametrize("name", seed.POSITIONS)
@pytest.mark.parametrize(
    "text, gtid",
    [("mariadb-bin.000001\t1234\t0-1-7\n", "0-1-7"), ("mariadb-bin.000001\t1234\t0-1-7,\n0-2-5\n", "0-1-7,0-2-5")],
)
def test_the_position_of_a_copy(tmp_path, name, text, gtid):
    (tmp_path / name).write_text(text)
    assert seed.position(tmp_path) == gtid


def test_a_copy_without_a_position_is_refused(tmp_path):
    with pytest.raises(DatabaseError, match="no position is in the copy"):
        seed.position(tmp_path)


def sent(*pieces, end=None):
    told = b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)
    return io.BytesIO(told + (b"" if end is None else struct.pack(">I", 0) + json.dumps(end).encode() + b"\n"))


def test_what_a_donor_sends():
    assert list(seed._pieces(sent(b"ab", b"c", end={"ok": True}))) == [b"ab", b"c"]


@pytest.mark.parametrize(
    "stream, error, message",
    [
        (sent(b"ab"), EOFError, "before the copy was whole"),
        (io.BytesIO(struct.pack(">I", 9) + b"ab"), EOFError, "before the copy was whole"),
        (sent(b"ab", end={"error": "disk on fire"}), DatabaseError, "the other server says: disk on fire"),
        (sent(b"ab", end={}), DatabaseError, "the other server says: nothing"),
    ],
)
def test_what_is_no_copy(stream, error, message):
    with pytest.raises(error, match=message):
        list(seed._pieces(stream))
