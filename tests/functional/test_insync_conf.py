"""The settings' state against a `jt` that answers as the real one does; the real one is tried in the fleet."""

import json

import pytest
import salt.loader

ENDPOINTS = {"mysql": {"port": 3306, "hosts": {"db": "db.example.internal"}}}
DECLARED = {"greeting": "Hello", "mysql": {"connect": "mysql"}}


@pytest.fixture
def loaded(opts, tmp_path):
    """Apply the state with a `jt` that ends with a code and a text: ``loaded(3, "no", test=True)``."""
    opts["pillar"] = {"endpoints": ENDPOINTS, "secrets": {}}

    def _loaded(code, said, test, declared=DECLARED):
        jt = tmp_path / "jt"
        jt.write_text(f"#!/bin/sh\ncat > {tmp_path}/input\necho '{said}'\nexit {code}\n")
        jt.chmod(0o755)
        opts["test"] = test
        utils, serializers = salt.loader.utils(opts), salt.loader.serializers(opts)
        states = salt.loader.states(opts, salt.loader.minion_mods(opts, utils=utils), utils, serializers)
        return states["insync_conf.loaded"]("web", declared, [str(jt)], {}, numbers={"port": [1, 65535]})

    return _loaded


@pytest.mark.parametrize("code, said", [(3, "conf server unreachable: refused"), (4, "the token is missing or wrong")])
def test_what_a_run_would_mend_first_fails_no_test_mode(loaded, testmode, code, said):
    result = loaded(code, said, testmode)
    assert (result["result"], result["changes"]) == (None if testmode else False, {})
    assert said in result["comment"]


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
