"""What is declared against what a conf server holds, through a `jt` that keeps its values in a file."""

import json
import sys

import insync_conf
import insync_declared_conf
import insync_jt
import pytest

# The part of jt that counts here: sconf load and dump of one namespace.
JT = """#!{python}
import json, os, sys
store = {store!r}
held = json.load(open(store)) if os.path.exists(store) else {{}}
words = sys.argv[1:]
if words[1] == "dump":
    print(json.dumps(held))
    sys.exit()
new = json.load(sys.stdin)
after = new if "--prune" in words else {{**held, **new}}
told = {{"added": sorted(after.keys() - held.keys()), "removed": sorted(held.keys() - after.keys()), "rev": 3}}
told["updated"] = sorted(key for key in held.keys() & after.keys() if held[key] != after[key])
if "--dry-run" not in words:
    json.dump(after, open(store, "w"))
print(json.dumps(told))
"""
DECLARED = {
    "greeting": "Hello",
    "mysql": {"connect": "mysql", "user": "web", "password": {"secret": "mysql_primary:web_password"}},
}
WANTED = {
    "greeting": "Hello",
    "mysql": {"host": "db.example.internal", "port": 3306, "user": "web", "password": "n3w-s3cret"},
}


def write_jt(folder, store):
    """Put a `jt` that keeps its values in ``store`` (pathlib.Path) into bin/ of ``folder``; return its path."""
    jt = folder / "bin" / "jt"
    jt.parent.mkdir()
    jt.write_text(JT.format(python=sys.executable, store=str(store)))
    jt.chmod(0o755)
    return jt


def conf_pillar(folder, namespaces):
    """What pillar says where that `jt` loads ``namespaces`` (dict)."""
    conf = {
        "jt": "bin/jt",
        "load": ["sconf", "load", "-", "--ns", "{namespace}"],
        "dump": ["sconf", "dump", "--ns", "{namespace}"],
        "environment": {},
        "numbers": {"port": [1, 65535]},
        "namespaces": namespaces,
    }
    return {"apps": {"conf_server": {"virtualenv": str(folder)}}, "conf": conf}


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store.json"


@pytest.fixture
def server(tmp_path, store):
    write_jt(tmp_path, store)
    pillar = {
        **conf_pillar(tmp_path, {"web": DECLARED}),
        "endpoints": {"mysql": {"port": 3306, "hosts": {"db": "db.example.internal"}}},
        "secrets": {"mysql_primary": {"web_password": "n3w-s3cret"}},
    }
    return insync_declared_conf.DeclaredConf(pillar)


HELD = {"greeting": "Hi", "mysql": {**WANTED["mysql"], "password": "0ld-s3cret"}, "hand": {"made": "maybe-s3cret"}}


def test_only_what_differs_is_told_and_no_secret_is(server, store, testmode):
    store.write_text(json.dumps(HELD))
    told = server.load("web", test=testmode)
    assert told["changes"] == {
        "greeting": {"old": "Hi", "new": "Hello"},
        "mysql.password": {"old": "***", "new": "***"},
    }
    assert told["undeclared"] == ["hand"] and "s3cret" not in json.dumps(told)
    assert json.loads(store.read_text()) == (HELD if testmode else {**HELD, **WANTED}), "what nobody declared stays"


def test_pruning_removes_what_nobody_declared(server, store):
    store.write_text(json.dumps(HELD))
    told = server.load("web", prune=True)
    assert told["changes"]["hand.made"] == {"old": "***", "new": None} and told["undeclared"] == []
    assert json.loads(store.read_text()) == WANTED
    assert server.load("web", prune=True)["changes"] == {}


def test_a_second_load_changes_nothing(server, store):
    server.load("web")
    before = store.stat().st_mtime_ns
    assert server.load("web")["changes"] == {}
    assert store.stat().st_mtime_ns == before, "not even written again"


def test_what_is_wrong_is_named(server, tmp_path):
    with pytest.raises(insync_conf.ConfError, match="webb: no namespace is declared; did you mean 'web'"):
        server.namespaces(["webb"])
    (tmp_path / "bin" / "jt").unlink()
    with pytest.raises(
        insync_jt.JtError, match="bin/jt: No such file or directory; the highstate of this server installs"
    ):
        server.load("web")
    with pytest.raises(insync_conf.ConfError, match="this server has no conf server"):
        insync_declared_conf.DeclaredConf({})
