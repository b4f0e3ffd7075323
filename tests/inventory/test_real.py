"""The real inventory is in order, and names the servers that exist."""

import pathlib
import runpy

import insync_inventory
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "pillar" / "inventory"
SERVERS = """
    ct1 beanstalkd web-lb02 web02 license01 license02 db db-slave02 redis dev sentry radar-2 drone drone-test
    mrkr-web-lb wiki insynchq-support staging insynchq-web-staging dev02 sendy
""".split()
CANDIDATES = ["dev", "dev02", "drone", "drone-test", "sendy", "wiki"]


@pytest.fixture(scope="module")
def inventory():
    return insync_inventory.load(DIRECTORY)


def test_it_is_in_order():
    assert insync_inventory.problems(DIRECTORY, roles_dir=ROOT / "salt" / "role") == []


def test_it_has_the_21_servers(inventory):
    assert len(SERVERS) == 21
    assert sorted(inventory["hosts"]) == sorted(SERVERS)


def test_the_candidates_are_those_that_were_named(inventory):
    hosts = inventory["hosts"]
    assert sorted(name for name in hosts if hosts[name]["lifecycle"] == "candidate") == CANDIDATES
    assert {hosts[name]["candidate"]["waits_for"] for name in ("drone", "drone-test")} == {"after deployment of Travis"}


def test_no_region_is_passed_off_as_known(inventory):
    """Where the servers are was never recorded; whoever finds out changes this test together with the inventory."""
    assert {host["region"]["source"] for host in inventory["hosts"].values()} == {"guess"}


def pillar(host, *roots):
    """Run the SLS as Salt's py renderer does: with the master's options as a global."""
    options = {"id": host, "pillar_roots": {"base": [str(root) for root in roots]}}
    return runpy.run_path(str(DIRECTORY / "init.sls"), init_globals={"__opts__": options})["run"]()


@pytest.mark.parametrize("host", SERVERS)
def test_every_server_gets_its_slice(inventory, host):
    assert pillar(host, ROOT / "pillar") == insync_inventory.slice_for(inventory, host)


def test_the_inventory_may_be_in_any_pillar_root(tmp_path):
    assert pillar("web02", tmp_path, ROOT / "pillar")["host"]["name"] == "web02"
    with pytest.raises(insync_inventory.InventoryError, match=f"hosts.yaml: in no pillar root .{tmp_path}"):
        pillar("web02", tmp_path)


@pytest.mark.parametrize("host", ["web2", "WEB02", "", "../web02", "ct1_master"])
def test_an_unknown_id_gets_nothing_and_is_named(host):
    with pytest.raises(insync_inventory.InventoryError, match=f"hosts.yaml: there is no server '{host}'"):
        pillar(host, ROOT / "pillar")
