"""Which servers are to go, and what still keeps them."""

import copy
import pathlib

import insync_inventory
import insync_lifecycle
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def inventory():
    return copy.deepcopy(insync_inventory.load(ROOT / "pillar" / "inventory"))


def test_the_candidates_with_the_reasons_that_were_given(inventory):
    rows = {row["server"]: row for row in insync_lifecycle.candidates(inventory)}
    candidates = {name: host["candidate"] for name, host in inventory["hosts"].items() if "candidate" in host}
    assert {name: [row[key] for key in ("for", "reason", "waits_for")] for name, row in rows.items()} == {
        name: [one["for"], one["reason"], one["waits_for"]] for name, one in candidates.items()
    }
    assert rows["sendy"]["frozen"] == "yes" and rows["dev02"]["frozen"] == ""
    assert rows["sendy"]["still_used"] == "nothing"
    assert "pypi by " in rows["dev"]["still_used"] and "web02" in rows["dev"]["still_used"]


def test_what_is_used_of_a_server(inventory):
    inventory["zones"]["redirects"][0]["host"] = "license01"
    inventory["services"]["license-blue"]["names"] = ["license.example"]
    assert insync_lifecycle.used(inventory, "license01") == [
        "license-blue (license.example) by web-lb02, as on license02",
        "license-green by web-lb02, as on license02",
        "answers for insynchq.com",
    ]


def test_a_redirect_to_a_name_of_the_server_uses_it(inventory):
    def told():
        return insync_lifecycle.used(inventory, "wiki")[-1]

    before = told()
    assert "lead" not in before
    redirect = {"name": "docs.example", "to": "https://Wiki.insynchq.com:443/wiki", "host": "ct1"}
    inventory["zones"]["redirects"].append(redirect)
    assert told() == "is where docs.example leads"
    inventory["zones"]["redirects"].append({**redirect, "name": "faq.example"})
    assert told() == "is where docs.example, faq.example lead"
    assert not [line for line in insync_lifecycle.used(inventory, "dev02") if "lead" in line]


def test_what_nobody_connects_to_is_not_used(inventory):
    inventory["hosts"]["license02"]["roles"] = []
    inventory["hosts"]["web-lb02"]["roles"] = ["web"]
    assert insync_lifecycle.used(inventory, "license01") == []
