"""What roles that have left keep on a server: found by their states, told, and removed."""

import os
import pathlib
import subprocess
import sys

import insync_left_data
import pytest


def chunk(state, fun, name, sls="hg.absent", **more):
    return {"state": state, "fun": fun, "name": name, "__sls__": sls, **more}


def test_only_what_states_of_roles_that_left_keep_is_theirs():
    chunks = [
        chunk("insync_data", "kept", "/srv/repos"),
        chunk("insync_data", "kept", "/insync", if_empty=True),
        chunk("insync_package", "absent", "hg-absent-packages", pkgs=["mercurial", "gunicorn"]),
        chunk("insync_package", "absent", "nginx-absent-package", pkgs=["nginx", "gunicorn"]),
        chunk("insync_user", "absent", "hg", data=["/srv/hg"], disposable=["cache"]),
        chunk("insync_user", "absent", "haproxy"),
        chunk("file", "absent", "/etc/hg"),
        chunk("insync_user", "absent", "redis", sls="redis", data=["/var/lib/redis"]),
        chunk("insync_data", "kept", "/srv/other", sls="repos"),
    ]
    left = insync_left_data.of_states(chunks)
    assert (left.paths, left.folders) == (("/srv/hg", "/srv/repos"), ("/insync",))
    assert left.users == {"hg": ["/srv/hg"], "haproxy": []}
    assert left.packages == ("gunicorn", "mercurial", "nginx")
    assert left.any and not insync_left_data.of_states(chunks[-2:]).any


@pytest.mark.parametrize(
    "other, name",
    [
        (("file", "managed", "/srv/hg/website/.hg/hgrc"), "/srv/hg/website/.hg/hgrc"),
        (("file", "directory", "/srv/hg"), "/srv/hg"),
        (("user", "present", "hg"), "hg"),
    ],
)
def test_what_a_role_that_stays_needs_is_refused(other, name):
    chunks = [chunk("insync_user", "absent", "hg", data=["/srv/hg"])]
    chunks += [chunk(*other, sls="buildbot", __id__="buildbot-x")]
    with pytest.raises(insync_left_data.LeftError, match=rf"buildbot-x of a role that stays needs {name}: .* Nothing"):
        insync_left_data.of_states(chunks)


def test_whose_user_a_role_that_stays_has_is_refused():
    chunks = [chunk("insync_user", "absent", "hg", data=["/srv/hg"])]
    chunks += [chunk("file", "managed", "/etc/x", sls="x", user="hg", __id__="x-file")]
    with pytest.raises(insync_left_data.LeftError, match="x-file of a role that stays needs hg"):
        insync_left_data.of_states(chunks)
    # As a server may be called.
    others = [{**chunks[1], "user": "root"}, chunk("network", "system", "hg", sls="host", __id__="host-name")]
    assert insync_left_data.of_states([chunks[0], *others]).paths == ("/srv/hg",)


def test_folders_of_all_go_only_without_any_file(tmp_path):
    (tmp_path / "insync" / "venv").mkdir(parents=True)
    assert insync_left_data.there([], [str(tmp_path / "insync")]) == [tmp_path / "insync"]
    (tmp_path / "insync" / "venv" / "by_hand").symlink_to("/opt")
    (tmp_path / "link").symlink_to(tmp_path)
    assert insync_left_data.there([], [str(tmp_path / name) for name in ("insync", "none", "link")]) == []


def test_what_goes_with_a_package_stays_with_it():
    left = [
        chunk("insync_package", "absent", "misago-absent-packages", pkgs=["redis-server", "redis-tools"]),
        chunk("insync_data", "kept", "/var/lib/redis", package="redis-tools"),
        chunk("insync_user", "absent", "redis", data=["/srv/redis"], package="redis-server"),
        chunk("insync_user", "absent", "redis", sls="misago.absent", package="redis-server"),
    ]
    found = insync_left_data.of_states(left)
    assert (found.paths, found.users, found.packages) == (
        ("/srv/redis", "/var/lib/redis"),
        {"redis": ["/srv/redis"]},
        ("redis-server", "redis-tools"),
    )
    others = [chunk("pkg", "installed", "x", sls="redis", __id__="x", pkgs=["redis-server", {"redis-tools": "5"}])]
    others += [chunk("file", "managed", "/etc/x", sls="redis", __id__="y", user="redis")]
    found = insync_left_data.of_states([*left, *others])
    assert (found.paths, found.users, found.packages) == (("/srv/redis",), {}, ())


def test_what_a_restore_has_moved_aside_is_found_too(tmp_path):
    for name in ("hg", "hg.before_20261128t101500", "hg.before_upgrade", "hg.other", "hgweb"):
        (tmp_path / name).mkdir()
    (tmp_path / "hg.before_20261128t101501").touch()
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


@pytest.mark.parametrize("place", ["", "/website", "/web site"])
def test_where_something_is_mounted_it_is_refused(tmp_path, place):
    """In a mount namespace of its own."""
    folder = tmp_path / "hg"
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "file").touch()
    pathlib.Path(f"{folder}{place}").mkdir(parents=True)
    look = f"import insync_left_data; print(insync_left_data.there([{str(folder)!r}]))"
    script = 'mount --bind "$1" "$2" && exec "$3" -c "$4"'
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        tmp_path / "volume",
        f"{folder}{place}",
        sys.executable,
        look,
    ]
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(insync_left_data.__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = f"LeftError: {folder}{place}: is mounted; unmount it, and take it off fstab, first. Nothing was removed"
    assert (done.returncode, done.stderr.splitlines()[-1].partition(".")[2]) == (1, said)
