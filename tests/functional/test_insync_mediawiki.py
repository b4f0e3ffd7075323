"""The wiki's database: made by MediaWiki's installer where there is none, and left alone ever after."""

import json
import os
import pathlib
import stat

import pytest

# Stands for PHP: writes down what it is given, and makes the database as MediaWiki's installer does.
PHP = """#!/usr/bin/python3
import json, os, pathlib, sys
told = dict(zip(sys.argv[2::2], sys.argv[3::2]))
password = pathlib.Path(told["--passfile"])
told |= {"password": password.read_text(), "mode": oct(password.stat().st_mode)[-3:], "last": sys.argv[-2:]}
pathlib.Path("%s").write_text(json.dumps(told))
pathlib.Path(told["--dbpath"], "wiki.sqlite").write_text("tables")
sys.stderr.write("first line\\nlast line\\n")
sys.exit(%d)
"""


@pytest.fixture
def installed(single, tmp_path, monkeypatch):
    """Apply the state; PHP ends with ``code``."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    # It would set the PATH anew, where there is a PHP of this machine or none.
    (bin_ / "setpriv").write_text('#!/bin/sh\nwhile case $1 in -*) :;; *) false;; esac; do shift; done\nexec "$@"\n')
    (bin_ / "setpriv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")

    def apply(test=False, code=0):
        (bin_ / "php").write_text(PHP % (tmp_path / "told.json", code))
        (bin_ / "php").chmod(0o755)
        arguments = {"program": "/usr/share/mediawiki", "settings": str(tmp_path / "LocalSettings.php")}
        arguments |= {"sitename": "The wiki", "server": "https://wiki.example", "user": pathlib.Path().owner()}
        return single("insync_mediawiki.installed", test=test, name=str(tmp_path / "data"), **arguments)

    return apply


def test_an_empty_wiki_is_made_once(installed, tmp_path, testmode):
    result = installed(test=testmode)
    assert result["result"] is (None if testmode else True)
    assert result["changes"] == {"wiki": {"old": "absent", "new": "empty"}}
    assert (tmp_path / "data" / "wiki.sqlite").exists() is not testmode
    if testmode:
        return
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    (tmp_path / "data" / "wiki.sqlite").write_text("old pages")
    again = installed()
    assert (again["result"], again["changes"]) == (True, {})
    assert (tmp_path / "data" / "wiki.sqlite").read_text() == "old pages"


def test_nobody_learns_the_password(installed, tmp_path):
    result = installed()
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(told["password"]) > 40 and told["mode"] == "600"
    assert told["password"] not in str({**told, "password": ""}) and told["password"] not in str(result)
    assert not pathlib.Path(told["--passfile"]).exists() and told["last"] == ["The wiki", "Archivist"]


def test_an_installer_that_fails_leaves_nothing_in_place(installed, tmp_path):
    result = installed(code=1)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"] == "MediaWiki's installer: last line" and not (tmp_path / "data").exists()
    assert installed()["result"] is True, "what it left is no hindrance"


@pytest.mark.parametrize("data", [False, True])
def test_a_wiki_that_somebody_set_up_by_hand_stops_everything(installed, tmp_path, testmode, data):
    """Also where its database is in the same place."""
    (tmp_path / "LocalSettings.php").write_text("<?php\n$wgSitename = 'Mine';\n")
    if data:
        (tmp_path / "data").mkdir()
    result = installed(test=testmode)
    assert (result["result"], result["changes"]) == (False, {})
    assert "was written by hand" in result["comment"] and (tmp_path / "data").exists() is data
    (tmp_path / "LocalSettings.php").write_text("<?php\n// Managed by Salt.\n")
    assert installed(test=testmode)["result"] is not False
