"""The packet filter, in a network of its own: loaded, changed by hand, changed in the file, and refused."""

import contextlib
import pathlib
import socket

import pytest

from tests.functional.private import command, private_world

RULES = """table inet insync
delete table inet insync
table inet insync {
  chain input { type filter hook input priority filter; policy drop; tcp dport %s counter accept; }
}
"""
OTHER = ("add", "table", "inet", "fail2ban")
RECORD = pathlib.Path("/var/lib/insync/nftables.json")


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "nftables.conf"
    path.write_text(RULES % 22)
    return path


@pytest.fixture
def loaded(single, rules):
    def _loaded(test=False):
        return single("insync_nftables.loaded", name=str(rules), table="inet insync", test=test)

    return _loaded


def kernel():
    return command("nft", "list", "ruleset")


@private_world
def test_a_new_server(loaded, testmode):
    result = loaded(testmode)
    assert result["result"] is (None if testmode else True)
    assert list(result["changes"]) == ["inet insync"]
    assert ("tcp dport 22 counter" in kernel()) is not testmode
    assert RECORD.exists() is not testmode
    assert bool(loaded(testmode)["changes"]) is testmode


@private_world
def test_nothing_to_do(loaded, testmode):
    loaded()
    before = kernel(), RECORD.read_text()
    result = loaded(testmode)
    assert (result["result"], result["changes"]) == (True, {})
    assert (kernel(), RECORD.read_text()) == before


@pytest.mark.parametrize(
    "by_hand",
    [
        ("flush", "ruleset"),
        ("add", "rule", "inet", "insync", "input", "tcp", "dport", "23", "accept"),
        ("flush", "chain", "inet", "insync", "input"),
    ],
)
@private_world
def test_what_was_changed_by_hand_comes_back(loaded, testmode, by_hand):
    loaded()
    declared = kernel()
    command("nft", *by_hand)
    changed = kernel()
    result = loaded(testmode)
    assert result["result"] is (None if testmode else True)
    assert result["changes"]
    assert kernel() == (changed if testmode else declared)


@private_world
def test_counters_and_other_tables_are_no_change(loaded):
    loaded()
    command("nft", *OTHER)
    command("ip", "link", "set", "lo", "up")
    with contextlib.suppress(TimeoutError):
        socket.create_connection(("127.0.0.1", 22), timeout=0.1)
    assert "packets 1 " in kernel()
    assert loaded()["changes"] == {}
    assert "fail2ban" in kernel()


@private_world
def test_a_changed_file_is_loaded_and_other_tables_stay(loaded, rules, testmode):
    loaded()
    command("nft", *OTHER)
    rules.write_text(RULES % 2222)
    result = loaded(testmode)
    assert result["result"] is (None if testmode else True)
    assert f"tcp dport {22 if testmode else 2222} counter" in kernel()
    assert "fail2ban" in kernel()


@private_world
def test_a_file_that_nft_refuses_leaves_the_old_rules(loaded, rules):
    loaded()
    before = kernel()
    rules.write_text("table inet insync { chain input { tcp dport nowhere accept; } }")
    for _ in range(2):
        result = loaded()
        assert (result["result"], result["changes"]) == (False, {})
        assert f"cannot load {rules}" in result["comment"]
        assert kernel() == before


@private_world
def test_a_file_that_is_not_there(loaded, rules):
    rules.unlink()
    result = loaded()
    assert (result["result"], result["changes"]) == (False, {})


@private_world
def test_a_state_that_it_watches_makes_it_load(high, rules, testmode):
    data = {
        "firewall-rules": {"file": ["managed", {"name": str(rules)}, {"contents": RULES % 80}]},
        "firewall-loaded": {
            "insync_nftables": [
                "loaded",
                {"name": str(rules)},
                {"table": "inet insync"},
                {"watch": [{"file": "firewall-rules"}]},
            ]
        },
    }
    result = high(data, testmode)["firewall-loaded"]
    assert result["result"] is (None if testmode else True)
    assert result["changes"]
    assert ("tcp dport 80 counter" in kernel()) is not testmode
    again = high(data, testmode)["firewall-loaded"]
    assert bool(again["changes"]) is testmode


@private_world
def test_the_rules_of_every_server_are_valid(compiled, tmp_path):
    path = tmp_path / "nftables.conf"
    for server, side in compiled.items():
        chunk = next(chunk for chunk in side["low"] if chunk["__id__"] == "firewall-rules")
        path.write_text(chunk["rendered"])
        command("nft", "-f", str(path))
        shown = command("nft", "list", "table", "inet", "insync")
        for rule in side["pillar"]["firewall"]["allow"]:
            # That nobody uses is open for nobody.
            opened = f'dport {rule["port"]} accept comment "{rule["service"]}"' in shown
            assert opened == bool(rule["sources"]), f"{server}: {rule['service']}"
