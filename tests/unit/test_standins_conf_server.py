"""The conf server's store and what jt makes of files and answers."""

import io
import json
import sys

import pytest
from insync_conf_server import jt, values
from insync_conf_server.store import NoRevision, Store
from insync_core import confserver
from insync_core.errors import Unavailable


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "conf.db")


def test_values_are_added_and_updated_and_never_removed(store):
    assert store.merge("web", {"a": 1, "b": {"c": 2}}) == {
        "added": ["a", "b"],
        "updated": [],
        "unchanged": 0,
        "removed": [],
        "rev": 1,
    }
    assert store.merge("web", {"b": {"d": 3}}) == {
        "added": [],
        "updated": ["b"],
        "unchanged": 1,
        "removed": [],
        "rev": 2,
    }
    assert store.latest("web") == (2, {"a": 1, "b": {"d": 3}})
    assert store.latest("license") == (0, {})


@pytest.mark.parametrize("again", [{"a": 1}, {"b": [1, "x"]}, {"b": [1, "x"], "a": 1}])
def test_what_is_there_already_makes_no_revision(store, again):
    store.merge("web", {"a": 1, "b": [1, "x"]})
    assert store.merge("web", again)["rev"] == 1


@pytest.mark.parametrize("value", [True, 1.0, "1"])
def test_another_type_is_another_value(store, value):
    store.merge("web", {"a": 1})
    assert store.merge("web", {"a": value})["updated"] == ["a"]


def test_a_dry_run_says_the_same_and_does_nothing(store):
    store.merge("web", {"a": 1, "b": 2})
    planned = store.merge("web", {"b": 3, "c": 4}, prune=True, dry_run=True)
    assert store.latest("web") == (1, {"a": 1, "b": 2})
    assert store.merge("web", {"b": 3, "c": 4}, prune=True) == {**planned, "rev": 2}
    assert planned == {"added": ["c"], "updated": ["b"], "unchanged": 0, "removed": ["a"], "rev": 1}


def test_every_revision_can_come_back(store):
    store.merge("web", {"a": 1})
    store.merge("web", {"a": 2, "b": 1})
    assert store.remove("web", ["b", "nothing"])["removed"] == ["b"]
    assert store.revert("web", 1)["updated"] == ["a"]
    assert store.latest("web") == (4, {"a": 1})
    assert [entry["rev"] for entry in store.revisions("web")] == [4, 3, 2, 1]
    with pytest.raises(NoRevision, match="web has no revision 9"):
        store.revert("web", 9)


def test_the_file_is_for_the_owner_only(store):
    store.merge("web", {"a": 1})
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.check() == "1 revisions"


def test_a_store_that_is_none_is_named(tmp_path):
    (tmp_path / "conf.db").write_text("no database at all, but long enough to be seen as one" * 20)
    with pytest.raises(Unavailable, match="store: "):
        Store(tmp_path / "conf.db").latest("web")
    with pytest.raises(Unavailable, match="store: "):
        Store(tmp_path / "nowhere" / "conf.db").check()


BAD = [
    ('{"a": ', "not JSON: "),
    ("[1]", "not a JSON object"),
    ("{}", "an object without keys"),
    ('{"password": null}', "password is null"),
    ('{"mysql": {"hosts": ["x", null]}}', "mysql.hosts.1 is null"),
    ('{"a": NaN}', "not JSON: NaN"),
    ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is there twice"),
    ('{"A b": 1}', "'A b' is no key"),
    ('{"a": "\\ud800"}', "a is not Unicode"),
    ('{"a": ' + "[" * 9000 + "]" * 9000 + "}", "nested too deep"),
    ("\xff", "not JSON: byte 0 is not UTF-8"),
    (f'{{"a": "{"x" * values.LARGEST}"}}', "more than"),
]


@pytest.mark.parametrize("text, why", BAD, ids=[why for _, why in BAD])
def test_what_is_no_conf_is_named(text, why):
    with pytest.raises(values.BadValues, match=why):
        values.parse(text.encode("latin-1"))


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What jt asks the conf server; ``answer`` is what it gets, or an error."""
    (tmp_path / "settings.json").write_text('{"conf_url": "https://ct1:7000", "ca_file": "ca"}')
    (tmp_path / "token").write_text("t0ken\n")
    monkeypatch.setenv("INSYNC_SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setenv("JT_TOKEN_FILE", str(tmp_path / "token"))
    calls = {"calls": [], "answer": {"added": ["a"], "updated": [], "unchanged": 0, "removed": [], "rev": 1}}

    def ask(url, token, ca_file, **options):
        calls["calls"].append((url, token, options.get("method", "GET"), options.get("body")))
        if isinstance(calls["answer"], Exception):
            raise calls["answer"]
        return calls["answer"], None

    monkeypatch.setattr(confserver, "ask", ask)
    return calls


def run(monkeypatch, *arguments, text=""):
    """Return jt's exit code."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return jt.main(["sconf", *arguments])


def test_load_sends_the_values_and_prints_names_only(asked, monkeypatch, capsys):
    code = run(monkeypatch, "load", "-", "--ns", "web", "--json", "--dry-run", text='{"a": "s3cret"}')
    printed = capsys.readouterr()
    assert (code, json.loads(printed.out)) == (jt.OK, asked["answer"])
    assert asked["calls"] == [("https://ct1:7000/v1/conf/web?dry_run=1", "t0ken", "PATCH", {"a": "s3cret"})]
    assert "s3cret" not in printed.out + printed.err
    assert run(monkeypatch, "load", "-", "--ns", "web", "--prune", text='{"a": "s3cret"}') == jt.OK
    assert asked["calls"][1][0] == "https://ct1:7000/v1/conf/web?prune=1"
    assert capsys.readouterr().out == "added: a\nunchanged: 0, revision 1\n"


@pytest.mark.parametrize(
    "error, code",
    [
        (confserver.Unreachable("ct1:7000: refused"), jt.UNREACHABLE),
        (confserver.Refused(503, "store: disk full"), jt.UNREACHABLE),
        (confserver.Refused(401, "the token is missing or wrong"), jt.REFUSED),
        (confserver.Refused(403, "the token is not for this"), jt.REFUSED),
        (confserver.Refused(404, "there is no namespace web"), jt.NOT_THERE),
    ],
)
def test_exit_codes_tell_whose_fault_it_is(asked, monkeypatch, capsys, error, code):
    asked["answer"] = error
    assert run(monkeypatch, "load", "-", "--ns", "web", text='{"a": 1}') == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("jt: ") and str(error) in printed.err and printed.err.count("\n") == 1


def test_bad_input_is_not_sent(asked, monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "load", "-", "--ns", "web", text='{"a": null}') == jt.BAD_INPUT
    assert run(monkeypatch, "load", str(tmp_path / "nothing"), "--ns", "web") == jt.BAD_INPUT
    monkeypatch.delenv("JT_TOKEN_FILE")
    assert run(monkeypatch, "dump", "--ns", "web") == jt.BAD_INPUT
    assert "JT_TOKEN_FILE" in capsys.readouterr().err
    assert asked["calls"] == []


def test_get_and_dump_print_values(asked, monkeypatch, capsys):
    asked["answer"] = {"rev": 1, "conf": {"b": {"d": 1, "c": "x"}, "a": 2}}
    assert run(monkeypatch, "get", "b", "--ns", "web") == jt.OK
    assert capsys.readouterr().out == '{"c": "x", "d": 1}\n'
    assert run(monkeypatch, "get", "nothing", "--ns", "web") == jt.NOT_THERE
    assert run(monkeypatch, "dump", "--ns", "web") == jt.OK
    assert json.loads(capsys.readouterr().out) == asked["answer"]["conf"]
