"""The settings' state against a `jt` that answers as the real one does; the real one is tried in the fleet."""

import json
import re

import insync_verb
import insync_versions
import pytest
import salt.loader

ENDPOINTS = {"mysql": {"port": 3306, "hosts": {"db": "db.example.internal"}}}
DECLARED = {"greeting": "Hello", "mysql": {"connect": "mysql"}}


@pytest.fixture
def loaded(opts, tmp_path, monkeypatch):
    """Apply the state with a `jt` that ends with a code (None: there is none) and a text: ``loaded(3, "no", True)``."""
    opts["pillar"] = {"endpoints": ENDPOINTS, "secrets": {}}
    monkeypatch.setattr(insync_verb, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(insync_verb, "LOCKS", tmp_path / "locks")

    def _loaded(code, said, test, declared=DECLARED, current_versions=None):
        jt = tmp_path / "jt"
        if code is not None:
            jt.write_text(f"#!/bin/sh\ncat > {tmp_path}/input\necho '{said}'\nexit {code}\n")
            jt.chmod(0o755)
        opts["test"] = test
        utils, serializers = salt.loader.utils(opts), salt.loader.serializers(opts)
        states = salt.loader.states(opts, salt.loader.minion_mods(opts, utils=utils), utils, serializers)
        more = {"numbers": {"port": [1, 65535]}, "current_versions": current_versions}
        return states["insync_conf.loaded"]("web", declared, [str(jt)], {}, **more)

    return _loaded


@pytest.mark.parametrize(
    "code, said",
    [
        (3, "conf server unreachable: refused"),
        (4, "the token is missing or wrong"),
        (None, "the highstate|once it is inst"),
    ],
)
def test_what_a_run_would_mend_first_fails_no_test_mode(loaded, testmode, code, said):
    result = loaded(code, said, testmode)
    assert (result["result"], result["changes"]) == (None if testmode else False, {})
    assert re.search(said, result["comment"])


@pytest.mark.parametrize(
    "code, said, remedy",
    [
        (2, "bad input: greeting", "mend pillar/role/conf_server.sls"),
        (1, "there is no namespace web", "salt-run insync.restart conf_server"),
    ],
)
def test_what_the_server_refuses_fails_and_says_where_to_mend_it(loaded, testmode, code, said, remedy):
    result = loaded(code, said, testmode)
    assert (result["result"], result["changes"]) == (False, {})
    assert said in result["comment"] and remedy in result["comment"]


def test_what_differs_is_told_by_name(loaded, tmp_path, testmode):
    answer = json.dumps({"added": ["greeting"], "updated": [], "rev": 7})
    result = loaded(0, answer, testmode)
    assert (result["result"], result["changes"]) == (None if testmode else True, {"added": ["greeting"]})
    sent = json.loads((tmp_path / "input").read_text())
    assert sent == {"greeting": "Hello", "mysql": {"host": "db.example.internal", "port": 3306}}


@pytest.mark.parametrize("declared", ["text", None, {"mysql": "text"}, {"greeting": ["x"]}])
def test_what_is_malformed_is_one_line_and_nobody_is_asked(loaded, tmp_path, testmode, declared):
    result = loaded(0, "{}", testmode, declared)
    assert (result["result"], result["changes"], "\n" in result["comment"]) == (False, {}, False)
    assert not (tmp_path / "input").exists()


SAYS = {"greeting": "Hello", "versions": {"mac": {"current_version": "mac"}}}


def test_the_current_version_is_loaded_and_a_newly_declared_one_is_kept(loaded, tmp_path, testmode):
    answer, record = json.dumps({"added": [], "updated": ["versions"], "rev": 7}), tmp_path / "records" / "versions"
    for declared in ("3.9.6", "3.9.8"):
        result = loaded(0, answer, testmode, SAYS, {"mac": declared})
        assert (result["result"], result["changes"]) == (None if testmode else True, {"updated": ["versions"]})
        assert json.loads((tmp_path / "input").read_text())["versions"] == {"mac": declared}
        assert record.exists() is not testmode
    if not testmode:
        insync_versions.Versions({"mac": "3.9.8"}).record("mac", "3.9.9", "alice")
        loaded(0, answer, testmode, SAYS, {"mac": "3.9.8"})
        assert json.loads((tmp_path / "input").read_text())["versions"] == {"mac": "3.9.9"}, "what was set is kept"
        lines = (record / "history.jsonl").read_text().splitlines()
        assert [json.loads(line)["new"] for line in lines] == ["3.9.6", "3.9.8"], "a run without a new one says nothing"


@pytest.mark.parametrize(
    "versions, said",
    [
        ({"mac": 3.9}, "web: current_versions.declared.mac: 3.9: is no version"),
        ({"windows": "3.9.6"}, "web: versions.mac: there is no current version of 'mac'; those that are: windows"),
    ],
)
def test_a_version_that_cannot_be_current_is_one_line(loaded, tmp_path, testmode, versions, said):
    result = loaded(0, "{}", testmode, SAYS, versions)
    assert (result["result"], result["changes"], "\n" in result["comment"]) == (False, {}, False)
    assert said in result["comment"] and not (tmp_path / "input").exists()
