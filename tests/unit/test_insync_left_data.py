"""What roles that have left keep on a server: found by their states, told, and removed."""

import os
import pathlib

import insync_left_data
import pytest


def chunk(state, fun, name, sls="hg.absent", **more):
    return {"state": state, "fun": fun, "name": name, "__sls__": sls, **more}


def test_only_what_states_of_roles_that_left_keep_is_theirs():
    chunks = [
        chunk("insync_data", "kept", "/srv/repos"),
        chunk("insync_user", "absent", "hg", data=["/srv/hg"], disposable=["cache"]),
        chunk("insync_user", "absent", "haproxy"),
        chunk("file", "absent", "/etc/hg"),
        chunk("insync_user", "absent", "redis", sls="redis", data=["/var/lib/redis"]),
        chunk("insync_data", "kept", "/srv/other", sls="repos"),
    ]
    paths, users = insync_left_data.of_states(chunks)
    assert paths == ["/srv/hg", "/srv/repos"]
    assert users == {"hg": ["/srv/hg"], "haproxy": []}


def test_what_a_restore_has_moved_aside_is_found_too(tmp_path):
    for name in ("hg", "hg.before_20261128t101500", "hg.other", "hgweb"):
        (tmp_path / name).mkdir()
    found = insync_left_data.there([str(tmp_path / "hg"), str(tmp_path / "never-made")])
    assert found == [tmp_path / "hg", tmp_path / "hg.before_20261128t101500"]


def test_a_link_to_where_the_data_is_is_refused(tmp_path):
    (tmp_path / "hg").symlink_to("/mnt/volume")
    with pytest.raises(insync_left_data.LeftError, match=r"hg: is a link to /mnt/volume; .* Nothing was removed"):
        insync_left_data.there([str(tmp_path / "hg")])


def test_how_much_it_is_and_when_it_was_last_changed_is_told(tmp_path):
    (tmp_path / "repository").mkdir()
    for name, seconds in (("old", 1_000_000_000), ("repository/new", 1_100_000_000)):
        (tmp_path / name).write_bytes(b"x" * 600)
        os.utime(tmp_path / name, (seconds, seconds))
    for folder in (tmp_path / "repository", tmp_path):
        os.utime(folder, (0, 0))
    assert insync_left_data.told(tmp_path) == "2 files, 1.2 kB, last changed 2004-11-09 11:33 UTC"


def test_it_goes_with_all_that_is_in_it_and_nothing_else(tmp_path):
    folder, other = tmp_path / "hg", tmp_path / "other"
    for path in (folder / "website" / ".hg", other):
        path.mkdir(parents=True)
        (path / "file").touch()
    (folder / "link").symlink_to(other)
    insync_left_data.remove(folder)
    assert not folder.exists() and (other / "file").exists()


def test_of_a_mounted_volume_only_the_content_goes(tmp_path, monkeypatch):
    folder = tmp_path / "hg"
    (folder / "website").mkdir(parents=True)
    (folder / "file").touch()
    (folder / "link").symlink_to(tmp_path)
    monkeypatch.setattr(os.path, "ismount", lambda path: pathlib.Path(path) == folder)
    insync_left_data.remove(folder)
    assert list(folder.iterdir()) == []
