"""Every server compiles: pillar, states, the files they write, and what the states require of each other."""

import pathlib
import re

import insync_inventory
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = insync_inventory.load(ROOT / "pillar" / "inventory")
SERVERS = sorted(INVENTORY["hosts"])
REQUISITES = ("require", "watch", "onchanges", "onfail", "listen", "prereq")

each_server = pytest.mark.parametrize("server", SERVERS)


def unresolved(low):
    """Return ``"id: requisite target"`` of each requisite that no state in ``low`` meets."""
    known = {(chunk["state"], chunk[key]) for chunk in low for key in ("__id__", "name")}
    known |= {("sls", chunk["__sls__"]) for chunk in low}
    wanted = ((chunk["__id__"], kind, *pair) for chunk in low for kind in REQUISITES for pair in _targets(chunk, kind))
    return [f"{name}: {kind} {state}: {target}" for name, kind, state, target in wanted if (state, target) not in known]


def _targets(chunk, kind):
    return [pair for target in chunk.get(kind, []) for pair in target.items()]


def outspoken(low, secrets):
    """Return the ids of the states in ``low`` that would show one of ``secrets`` when they change a file."""
    files = [chunk for chunk in low if chunk["state"] == "file" and chunk.get("show_changes", True)]
    texts = ((chunk["__id__"], f"{chunk.get('rendered')}{chunk.get('contents')}") for chunk in files)
    return [name for name, text in texts if any(secret in text for secret in secrets)]


@each_server
def test_every_role_is_covered(compiled, server):
    low = compiled[server]["low"]
    # One that only leads to another counts as well.
    applied = {sls for chunk in low for sls in (chunk["__sls__"], *chunk["__sls_included_from__"])}
    roles = insync_inventory.roles_of(INVENTORY, server)
    assert compiled[server]["pillar"]["roles"] == roles
    for role in roles:
        includes = yaml.safe_load((ROOT / "salt" / "role" / role / "init.sls").read_text())["include"]
        assert includes and set(includes) <= applied, f"{role} includes {includes}, applied are {sorted(applied)}"


@each_server
def test_every_requisite_is_met(compiled, server):
    assert compiled[server]["low"]
    assert unresolved(compiled[server]["low"]) == []


def test_an_unmet_requisite_is_found(compiled):
    low = [dict(chunk) for chunk in compiled["web02"]["low"]]
    low[0]["require"] = [{"pkg": "nowhere-package"}]
    assert unresolved(low) == [f"{low[0]['__id__']}: require pkg: nowhere-package"]


def told(low, secrets):
    """Return the ids of the states in ``low`` that are given one of ``secrets``: state.show_lowstate would show it."""
    given = ((chunk["__id__"], str({key: value for key, value in chunk.items() if key != "rendered"})) for chunk in low)
    return [name for name, text in given if any(secret in text for secret in secrets)]


def secrets_of(pillar):
    """The secrets of a server, a private key by one of its lines."""
    key = pillar["tls"].get("key", "").splitlines()[1:2]
    return [*key, *(value for role in pillar["secrets"].values() for value in role.values())]


@each_server
def test_no_state_shows_a_secret(compiled, server):
    secrets = secrets_of(compiled[server]["pillar"])
    assert secrets and not any("PGP MESSAGE" in secret for secret in secrets), "secrets arrive decrypted"
    assert outspoken(compiled[server]["low"], secrets) == []
    # A user's state takes the password's hash and nothing else.
    assert told(compiled[server]["low"], secrets) == ["console-root"]


def test_a_state_that_shows_a_secret_is_found():
    chunk = {"__id__": "redis-config", "state": "file", "rendered": "requirepass hunter22"}
    assert outspoken([chunk], ["hunter22"]) == ["redis-config"]
    assert outspoken([{**chunk, "show_changes": False}], ["hunter22"]) == []
    assert told([chunk], ["hunter22"]) == []
    assert told([{**chunk, "contents": "hunter22"}], ["hunter22"]) == ["redis-config"]


def test_every_pillar_key_is_read(compiled):
    readers = [
        *ROOT.glob("salt/*/map.jinja"),
        *ROOT.glob("_modules/*.py"),
        *ROOT.glob("_states/*.py"),
        ROOT / "top.sls",
    ]
    text = "\n".join(path.read_text() for path in readers)
    read = set(re.findall(r"""\b(?:pillar|__pillar__)\[['"](\w+)['"]\]""", text))
    present = {key for side in compiled.values() for key in side["pillar"]}
    assert present == read


def test_the_site_overrides_single_values(compiled):
    clock = compiled["web02"]["pillar"]["clock"]
    assert clock == {"timezone": "Etc/UTC", "sync": False}, "sync is the lab's, timezone the role's"
    assert "clock-sync" not in {chunk["__id__"] for chunk in compiled["web02"]["low"]}


def test_tunables_of_a_role_reach_only_its_servers(compiled):
    owners = {}
    for path in (ROOT / "pillar" / "role").glob("*.sls"):
        for key in re.findall(r"^(\w+):", path.read_text(), re.MULTILINE):
            owners.setdefault(key, set()).update(insync_inventory.hosts_with(INVENTORY, path.stem))
    assert owners["salt_master"] < owners["clock"]
    for key, expected in owners.items():
        assert {server for server in SERVERS if key in compiled[server]["pillar"]} == expected, key


def test_what_is_frozen_installs_before_and_what_is_not_any_more_afterwards(compiled):
    """Else the first highstate that has to install something would be refused on either."""
    for server, side in compiled.items():
        names = [chunk["__id__"] for chunk in sorted(side["low"], key=lambda chunk: chunk["order"])]
        expected = "frozen-packages" if INVENTORY["hosts"][server].get("frozen") else names[-1]
        assert names[-1] == expected and (names[0] == "frozen-packages") != (names[-1] == "frozen-packages"), server


def test_what_is_frozen_sends_mail_to_no_port_that_takes_some(compiled):
    rules = {
        server: re.findall(r"tcp dport \{ ([\d, ]+) \} reject with tcp reset", str(chunk.get("rendered")))
        for server, side in compiled.items()
        for chunk in side["low"]
        if chunk["__id__"] == "firewall-rules"
    }
    frozen = [server for server in SERVERS if INVENTORY["hosts"][server].get("frozen")]
    assert frozen and sorted(rules) == SERVERS
    assert {server: found for server, found in rules.items() if found} == dict.fromkeys(
        frozen, ["25, 465, 587, 2465, 2525, 2587"]
    )
