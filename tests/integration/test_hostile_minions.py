"""What a minion can get out of the master by lying, asking for more, or coming with a key that is not its own."""

import os
import pathlib
import shutil

import pytest
import salt.channel.client
import salt.config
import salt.crypt
import salt.fileserver
import salt.pillar

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORGED = {"id": "ct1", "host": "ct1", "nodename": "ct1", "fqdn": "ct1.insync.internal"}
FORGED |= {"roles": ["salt_master", "ssh_gateway"], "role": "salt_master", "ipv4": ["10.132.1.11"]}
PATHS = [
    "../pillar/secrets/required.yaml",
    "./../pillar/top.sls",
    "//../pillar/top.sls",
    "role/../../pillar/top.sls",
    "pillar/secrets/required.yaml",
    "pillar/top.sls?index=0",
    "?index=0/../pillar/top.sls",
    "_modules/../../pillar/top.sls",
    "_utils/../pillar/inventory/hosts.yaml",
    "roots/../pillar/top.sls",
    ".git/config",
    "../.git/config",
    "_states/../.git/HEAD",
    "Saltfile",
    "../Saltfile",
    "Makefile",
    "/etc/shadow",
    "../../../../../../../../etc/shadow",
    "|../pillar/top.sls",
    "..\\pillar\\top.sls",
]


def ask(opts, **load):
    """Send ``load`` to the master as the minion ``opts``, over its encrypted channel; return the answer."""
    with salt.channel.client.ReqChannel.factory(opts) as channel:
        return channel.send({"saltenv": "base", "id": opts["id"], **load}, timeout=20, tries=1)


def pillar_for(opts, claimed, grains):
    """Ask for the pillar of ``claimed`` as the minion ``opts``; return what comes."""
    pillar = salt.pillar.RemotePillar(opts, grains, claimed, "base")
    try:
        return pillar.compile_pillar()
    finally:
        pillar.destroy()


def test_the_file_server_lists_nothing_but_states(web02):
    listed = set(ask(web02, cmd="_file_list"))
    folders = {"": ROOT / "salt"} | {f"{link.name}/": link for link in (ROOT / "roots").iterdir() if link.is_dir()}
    known = {
        f"{prefix}{path.relative_to(folder)}"
        for prefix, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert "sshd/init.sls" in listed and "_states/insync_host.py" in listed
    assert listed - known - {"top.sls"} == set()


@pytest.mark.parametrize("loc", [0, 10])
def test_what_is_served_can_be_fetched(web02, loc):
    """Without it, the probes below would prove nothing."""
    answer = ask(web02, cmd="_serve_file", path="sshd/init.sls", loc=loc)
    assert answer["data"] == (ROOT / "salt/sshd/init.sls").read_text()[loc:]


def leaks(serve):
    """Return those of PATHS for which ``serve`` gives something."""
    return [path for path in PATHS if serve(path)]


@pytest.mark.parametrize("extra", [{}, {"index": 0}])
def test_no_other_file_is_served(web02, extra):
    assert leaks(lambda path: ask(web02, cmd="_serve_file", path=path, loc=0, **extra).get("data")) == []
    assert leaks(lambda path: ask(web02, cmd="_file_hash", path=path, **extra)) == []


def test_the_probes_find_a_leak(master):
    """With the checkout itself in file_roots, pillar is served."""
    opts = salt.config.master_config(master.config["conf_file"])
    server = salt.fileserver.Fileserver({**opts, "file_roots": {"base": [str(ROOT)]}})
    found = leaks(lambda path: server.serve_file({"path": path, "saltenv": "base", "loc": 0}).get("data"))
    assert {"pillar/secrets/required.yaml", "Saltfile"} <= set(found)


@pytest.mark.parametrize("environment", ["pillar", "__env__", "../pillar"])
def test_no_other_environment_is_served(web02, environment):
    assert not ask(web02, cmd="_serve_file", path="top.sls", loc=0, saltenv=environment).get("data")
    assert not ask(web02, cmd="_file_list", saltenv=environment)


def test_a_file_cannot_be_fetched_through_cp_either(client):
    for path in ("salt://../pillar/top.sls", "salt://pillar/top.sls?saltenv=base", "salt://.git/config"):
        assert client.cmd("web02", "cp.get_file_str", [path])["web02"] in (False, "")


def test_forged_grains_and_ids_get_nothing_more(web02, compiled):
    own = compiled["web02"]["pillar"]
    assert pillar_for(web02, "web02", {}) == own
    assert pillar_for(web02, "web02", FORGED) == own
    assert pillar_for(web02, "ct1", FORGED) == own
    assert "salt_master" not in own
    assert {role: set(keys) for role, keys in own["secrets"].items()} == {
        "base": {"console_password_hash"},
        "conf_server": {"web_token"},
    }


def test_pillar_that_the_minion_asks_for_itself_reaches_nobody_else(web02, compiled, client):
    override = {"roles": ["base", "salt_master"]}
    pillar = salt.pillar.RemotePillar(web02, {}, "web02", "base", pillar_override=override)
    asked = pillar.compile_pillar()
    pillar.destroy()
    assert asked["secrets"] == compiled["web02"]["pillar"]["secrets"]
    assert "salt_master" not in asked
    assert client.cmd("web02", "config.get", ["roles"]) == {"web02": ["base", "web"]}


@pytest.fixture
def evil(master, stranger):
    """A minion that nobody knows, and whose key somebody accepted."""
    opts = stranger("evil")
    salt.crypt.write_keys(opts["pki_dir"], "minion", 2048)
    accepted = pathlib.Path(master.config["pki_dir"], "minions", "evil")
    shutil.copy(pathlib.Path(opts["pki_dir"], "minion.pub"), accepted)
    yield opts
    accepted.unlink()


@pytest.mark.parametrize("claimed", ["evil", "ct1"])
def test_an_unknown_server_accepted_by_mistake_gets_no_pillar(evil, claimed):
    pillar = pillar_for(evil, claimed, FORGED)
    assert set(pillar) == {"_errors"}
    assert "$6$" not in str(pillar) and "PGP" not in str(pillar)
    assert not ask(evil, cmd="_serve_file", path="../pillar/top.sls", loc=0).get("data")


def test_a_stolen_id_with_another_key_is_denied(master, stranger, client, monkeypatch):
    accepted = pathlib.Path(master.config["pki_dir"], "minions", "web02")
    before = accepted.read_bytes()
    # A refused minion waits for ten seconds and more; a thief would not.
    monkeypatch.setattr(salt.crypt.random, "randint", lambda *_: 0)
    thief = stranger("web02")
    salt.crypt.write_keys(thief["pki_dir"], "minion", 2048)
    with pytest.raises(SystemExit) as caught:
        ask(thief, cmd="_file_list")
    assert caught.value.code == os.EX_NOPERM
    assert accepted.read_bytes() == before
    assert pathlib.Path(master.config["pki_dir"], "minions_denied", "web02").exists()
    assert client.cmd("web02", "test.ping") == {"web02": True}, "the real one still works"


def test_a_minion_can_neither_publish_nor_push(web02, client, tmp_path):
    assert client.cmd("web02", "cp.push", ["/etc/hostname"]) == {"web02": False}
    published = ask(web02, cmd="minion_pub", fun="cmd.run", arg=["id"], tgt="*", ret="", tok="", tmo=5)
    assert not published
