"""The operators' commands against real minions: who is meant, what is printed, and the exit codes."""

import json
import pathlib
import re
import shutil

import insync_inventory
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = insync_inventory.load(ROOT / "pillar" / "inventory")


def test_the_bootstrap_brought_our_states_and_modules(client):
    functions = client.cmd("*", "sys.list_functions", ["insync"])
    states = client.cmd("*", "sys.list_state_modules", ["insync_*"])
    ours = sorted(path.stem for path in (ROOT / "_states").glob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "_modules").glob("*.py")]
    source = "".join(text for text in texts if '__virtualname__ = "insync"' in text)
    verbs = sorted(f"insync.{name}" for name in re.findall(r"^def ([a-z]\w*)", source, re.MULTILINE))
    assert functions == {name: verbs for name in ("ct1", "web02")} and "insync.ports" in verbs
    assert states == {name: ours for name in ("ct1", "web02")}


def test_what_differs_from_the_checkout_is_brought_back(run, client, minions):
    """A module that is gone, one that is another, and one that is no longer declared; the other minion has all."""
    folder = pathlib.Path(minions["web02"].config["extension_modules"], "states")
    (folder / "insync_user.py").unlink()
    (folder / "insync_unit.py").write_text("another\n")
    (folder / "insync_gone.py").write_text("removed\n")
    result = run("--out=json", "insync.sync", "web02", "ct1")
    brought = ["states.insync_unit", "states.insync_user"]
    assert json.loads(result.stdout) == {"web02": brought, "ct1": []}, result
    ours = {path.name: path.read_bytes() for path in (ROOT / "_states").glob("*.py")}
    assert {path.name: path.read_bytes() for path in folder.glob("*.py")} == ours
    assert json.loads(run("--out=json", "insync.sync", "web02", "ct1").stdout) == {"web02": [], "ct1": []}


@pytest.mark.parametrize(
    "target, kind, meant",
    [
        ("*", "glob", {"ct1", "web02"}),
        ("web*", "glob", {"web02"}),
        ("I@roles:salt_master", "compound", {"ct1"}),
        (["web02"], "list", {"web02"}),
    ],
)
def test_targets(client, target, kind, meant):
    assert set(client.cmd(target, "test.ping", tgt_type=kind)) == meant


def test_a_failing_function_fails_the_command(master, minions):
    salt = master.salt_cli(timeout=60)
    assert salt.run("test.ping", minion_tgt="*").returncode == 0
    assert salt.run("cmd.run", "exit 3", minion_tgt="web02").returncode == 1
    assert salt.run("test.ping", minion_tgt="web03").returncode != 0


def test_a_highstate_in_test_mode_compiles_on_the_minion(client):
    """A state of every server, all the way through the master; nothing of this machine is touched."""
    result = client.cmd("web02", "state.show_low_sls", ["role.base"], timeout=60)["web02"]
    assert "host-name" in [chunk["__id__"] for chunk in result]
    result = client.cmd("ct1", "state.sls_id", ["host-name", "host"], kwarg={"test": True}, timeout=60)["ct1"]
    state = next(iter(result.values()))
    assert (state["result"], state["comment"]) == (None, "the server would be named ct1")


def test_the_servers_as_a_table(run):
    result = run("insync.hosts")
    lines = result.stdout.splitlines()
    assert result.returncode == 0
    assert lines[0].split()[:3] == ["server", "region", "private"]
    assert [line.split()[0] for line in lines[1:]] == list(INVENTORY["hosts"])


def test_the_servers_as_json(run):
    rows = json.loads(run("--out=json", "insync.hosts").stdout)
    assert [row["server"] for row in rows] == list(INVENTORY["hosts"])
    roles = {row["server"]: row["roles"] for row in rows}
    assert roles["ct1"] == ",".join(["base", *INVENTORY["hosts"]["ct1"]["roles"]])


def test_the_order_of_a_first_start(run):
    rows = json.loads(run("--out=json", "insync.order").stdout)
    assert [server for row in rows for server in row["servers"].split(",")] == [
        server for wave in insync_inventory.waves(INVENTORY) for server in wave
    ]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))


def test_a_good_checkout_is_said_to_be_good(run):
    result = run("insync.check")
    assert (result.returncode, result.stdout.strip()) == (0, "the inventory of 21 servers is in order")


def test_a_broken_checkout_is_told_and_fails(run, master, served, site, tmp_path):
    for name in ("pillar", "salt"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    hosts = tmp_path / "checkout" / "pillar" / "inventory" / "hosts.yaml"
    hosts.write_text(hosts.read_text().replace("tier: web", "tier: wbe", 1))
    broken = {**served, "pillar_roots": {"base": [str(tmp_path / "checkout" / "pillar"), str(site)]}}
    configuration = tmp_path / "conf"
    shutil.copytree(pathlib.Path(master.config["conf_file"]).parent, configuration)
    include = configuration / "master.d" / "insync.conf"
    include.write_text(yaml.safe_dump({**yaml.safe_load(include.read_text()), **broken}))

    result = run("insync.check", conf_file=configuration / "master")
    assert result.returncode == 1
    assert "hosts.yaml: " in result.stdout and "did you mean 'web'" in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("insync.bootstrap", "web03"), "web02"),
        (("insync.bootstrap",), "which servers? name them, or say 'all'"),
        (("insync.accept", "web03", "aa:bb"), "web02"),
        (("insync.accept", "web02", "aa:bb"), "another key of web02 is accepted"),
        (("insync.sync", "web03"), "web02"),
    ],
)
def test_what_is_refused_is_one_line(run, minions, arguments, message):
    result = run(*arguments)
    assert result.returncode == 1
    assert message in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize("out", [(), ("--out=json",)])
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("insync.hosts", "foo"), "foo: one word too many; it takes none"),
        (("insync.check", "foo=1"), "foo=1: no option; it has none"),
        (("insync.lifecycle", "foo"), "foo: one word too many; it takes none"),
        (("insync.certificates", "foo=1"), "foo=1: no option; it has none"),
        (("insync.survey", "full=True"), "full=True: no option; it has none"),
        (("insync.survey_diff",), "host: is missing; it takes host, before, after"),
        (
            ("insync.survey_diff", "dev02", "1999", "2000", "2001"),
            "2001: one word too many; it takes host, before, after",
        ),
        (("insync.restart_web", "tset=True"), "tset=True: no option; there is test"),
        (("insync.restart_web", "test=Treu"), "test=Treu: is neither True nor False"),
        (
            ("insync.update_in_web", "insync-web=2.4"),
            "there is test, watch, keep, and a version is written insync-web==2.4",
        ),
    ],
)
def test_a_wrong_word_is_told_in_a_line_and_fails(run, out, arguments, message):
    result = run(*out, *arguments)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 1), result.stdout + result.stderr
    assert message in result.stdout


def test_a_wrong_word_is_told_by_a_minion_too(master, minions):
    for words, message in (
        (["insync.survey", "1", "2"], "2: one word too many; it takes full"),
        (["insync.certificates", "foo"], "wanted: 'foo' is no list"),
        (["insync.certificates", "wanted=[{'by': 'ct1'}]"], "wanted: {'by': 'ct1'} does not say by, name, address and"),
        (["insync.ports", "foo=1"], "foo=1: no option; it has none"),
    ):
        result = master.salt_cli(timeout=60).run(*words, minion_tgt="ct1")
        assert result.returncode == 1 and message in result.data, result.data
        assert len(result.data.splitlines()) == 1


def test_the_ssh_config_names_every_server(run):
    result = run("insync.ssh_config")
    assert result.returncode == 0
    for name in INVENTORY["hosts"]:
        assert any(line.startswith("Host ") and name in line.split() for line in result.stdout.splitlines()), name


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("insync.restart_web", "test=True"), "web-lb02: no answer; is it down, or its salt-minion?"),
        (("insync.update_in_license", "insync-license==1", "test=True"), "license01: no answer"),
        (("insync.release_status", "wep"), "wep: no application of this fleet; did you mean 'web'?"),
        (("insync.drain", "web03"), "web03: in no pool; did you mean 'web02'?"),
        (("insync.undrain", "db"), "db: in no pool"),
    ],
)
def test_a_release_verb_that_cannot_be_says_why(run, minions, arguments, message):
    result = run(*arguments)
    assert (result.returncode, result.stdout.count("Traceback")) == (1, 0), result.stdout + result.stderr
    assert message in result.stdout + result.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("insync.switchover_db", "web02"), "web02 has no database of a pair; nothing was done"),
        (
            ("insync.switchover_db", "db-slave2", "test=True"),
            "there is no server 'db-slave2'; did you mean 'db-slave02'?",
        ),
        (("insync.switchover_db", "db-slave02", "test=True"), "the primary does not answer: db: no answer"),
        (("insync.failover_db", "db-slave02", "test=True"), "db-slave02: no answer; is it down, or its salt-minion?"),
        (
            ("insync.failover_db", "db-slave02", "accept_los=True"),
            "accept_los=True: no option; there is accept_loss, test",
        ),
        (("insync.failover_db", "db-slave02", "accept_loss=perhaps"), "accept_loss=perhaps: is neither True nor False"),
        (("insync.rejoin_db", "db", "test=True"), "db is the declared primary; nothing was done"),
        (("insync.rejoin_db", "db", "db-slave02"), "db-slave02: one word too many"),
    ],
)
def test_a_switch_of_the_primary_that_cannot_be_says_why(run, minions, arguments, message):
    result = run(*arguments)
    assert (result.returncode, result.stdout.count("Traceback")) == (1, 0), result.stdout + result.stderr
    assert message in result.stdout + result.stderr
