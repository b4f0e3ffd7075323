"""Repositories are made once, and none is ever deleted."""

import pytest


@pytest.fixture
def folder(opts, tmp_path):
    """The folder of the repositories, with one that is there. `hg` does what it should, and fails for `broken`."""
    (tmp_path / "mods").mkdir()
    text = """
import os
__virtualname__ = "cmd"
def run_all(command, **_):
    assert command[0] == "setpriv" and "--reuid=root" in command and command[-3:-1] == ["hg", "init"], command
    if "broken" in command[-1]:
        return {"retcode": 255, "stdout": "", "stderr": "abort: no space\\n"}
    os.mkdir(command[-1] + "/.hg")
    return {"retcode": 0, "stdout": "", "stderr": ""}
"""
    (tmp_path / "mods" / "cmd.py").write_text(text)
    opts["module_dirs"] = [str(tmp_path / "mods"), *opts["module_dirs"]]
    (tmp_path / "hg" / "website" / ".hg").mkdir(parents=True)
    return tmp_path / "hg"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_missing_is_made(single, folder, testmode):
    arguments = {"name": str(folder), "repositories": ["website", "client"], "user": "root"}
    result = single("insync_hg.repositories", test=testmode, **arguments)
    assert result["result"] is (None if testmode else True)
    assert result["changes"] == {"client": {"old": "absent", "new": "present"}}
    assert names(folder) == (["website"] if testmode else ["client", "website"])
    if not testmode:
        assert (folder / "client").stat().st_mode & 0o777 == 0o750
        assert single("insync_hg.repositories", **arguments)["changes"] == {}


def test_what_is_no_longer_declared_is_kept_and_told(single, folder, testmode):
    result = single("insync_hg.repositories", test=testmode, name=str(folder), repositories=[], user="root")
    assert (result["result"], result["changes"], names(folder)) == (True, {}, ["website"])
    assert result["comment"] == "no longer declared, and kept: website"


def test_a_blank_server_is_told_what_it_will_get(single, tmp_path):
    arguments = {"name": str(tmp_path / "none"), "repositories": ["website"], "user": "nobody-yet"}
    result = single("insync_hg.repositories", test=True, **arguments)
    assert (result["result"], list(result["changes"])) == (None, ["website"])


@pytest.mark.parametrize("name, message", [("broken", "abort: no space"), ("taken", "is there, and no repository")])
def test_what_cannot_be_made_fails_and_leaves_nothing(single, folder, name, message):
    (folder / "taken").mkdir()
    result = single("insync_hg.repositories", name=str(folder), repositories=[name], user="root")
    assert (result["result"], result["changes"]) == (False, {})
    assert message in result["comment"] and "\n" not in result["comment"]
    assert not (folder / name / ".hg").exists()
    assert single("insync_hg.repositories", name=str(folder), repositories=["website"], user="root")["result"] is True


def test_what_was_made_before_one_failed_is_told(single, folder):
    names = ["client", "broken", "later"]
    result = single("insync_hg.repositories", name=str(folder), repositories=names, user="root")
    assert (result["result"], result["changes"]) == (False, {"client": {"old": "absent", "new": "present"}})
    assert result["comment"] == f"{folder}/broken: abort: no space"
    assert not (folder / "later").exists()
