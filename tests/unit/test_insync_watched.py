"""Which watched files are newer than what a unit has read."""

import os

import insync_systemd
import insync_watched
import pytest

CHUNKS = [
    {"state": "file", "__id__": "redis-config", "name": "/etc/redis/insync.conf"},
    {"state": "file", "__id__": "/etc/redis/users.conf", "name": "/etc/redis/users.conf"},
    {"state": "pkg", "__id__": "redis-config", "name": "redis"},
    {"state": "file", "__id__": "other", "name": "/etc/other"},
]


def test_the_files_that_are_watched_by_id_and_by_name():
    low = {"watch": [{"file": "redis-config"}, {"file": "/etc/redis/users.conf"}, {"pkg": "redis-config"}]}
    assert insync_watched.files(low, CHUNKS) == ["/etc/redis/insync.conf", "/etc/redis/users.conf"]
    assert insync_watched.files({}, CHUNKS) == insync_watched.files(low, []) == []


@pytest.fixture
def read_at(monkeypatch):
    """Let the unit have read its files at a time."""
    return lambda when: monkeypatch.setattr(insync_systemd, "read_at", lambda unit, reloads: when)


def test_what_was_written_after_the_unit_has_read_it(tmp_path, read_at):
    file, folder, link = tmp_path / "file", tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    (folder / "inside").touch()
    file.touch()
    link.symlink_to(file)
    for path in (file, folder / "inside", link):
        os.utime(path, (1000, 1000), follow_symlinks=False)
    os.utime(file, (2000, 2000))
    paths = [str(path) for path in (file, folder, link, tmp_path / "gone")]
    read_at(1500)
    assert insync_watched.newer(paths, "unit") == [str(file)], "where a link leads is not looked at"
    read_at(500)
    assert insync_watched.newer(paths, "unit") == [str(file), str(folder), str(link)]
    os.utime(file, (9e9, 9e9))
    assert insync_watched.newer([str(file)], "unit") == [], "from the future"
    read_at(0)
    assert insync_watched.newer(paths, "unit") == [], "what does not run has read nothing"


def test_when_a_unit_has_read_its_files(monkeypatch):
    def says(state, reload="success", start="Thu 2026-11-26 08:00:00.250000 UTC"):
        stamps = f"ExecMainStartTimestamp={start}\nStateChangeTimestamp=Thu 2026-11-26 09:00:00.250000 UTC\n"
        said = f"ActiveState={state}\nReloadResult={reload}\n{stamps}"
        monkeypatch.setattr(insync_systemd, "systemctl", lambda *words: said)

    says("active")
    assert insync_systemd.read_at("unit") == 1795680000.25
    assert insync_systemd.read_at("unit", reloads=True) == 1795683600.25
    says("active", reload="exit-code")
    assert insync_systemd.read_at("unit", reloads=True) == 1795680000.25, "what failed has read nothing"
    says("failed")
    assert insync_systemd.read_at("unit") == 0
    says("active", start="n/a")
    with pytest.raises(insync_systemd.UnitError, match="unit: systemd says 'n/a'"):
        insync_systemd.read_at("unit")


def test_a_socket_has_read_its_file_when_it_began_to_listen(monkeypatch):
    said = "ActiveState=active\nReloadResult=\nActiveEnterTimestamp=Thu 2026-11-26 08:00:00.250000 UTC\n"
    monkeypatch.setattr(insync_systemd, "systemctl", lambda *words: said)
    assert insync_systemd.read_at("x.socket") == 1795680000.25
