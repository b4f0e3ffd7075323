"""The pair of databases has one configuration, and each of them only what is its part."""

import copy

import insync_primaries
import pytest

from lab.compile import compile_host
from lab.paths import ROOT

PAIR = ("db", "db-slave02")
ALONE = "staging"
OWN = ("server_id = ", "bind_address = ")


def states(compiled, server):
    return {chunk["__id__"]: chunk for chunk in compiled[server]["low"] if chunk["__sls__"].startswith("mariadb")}


def config(compiled, server):
    text = states(compiled, server)["mariadb-config"]["rendered"]
    return [line for line in text.splitlines() if not line.startswith(OWN)]


def test_both_have_one_configuration(compiled):
    primary, replica = (config(compiled, server) for server in PAIR)
    assert primary == replica
    assert {"read_only = ON", "sync_binlog = 1", "rpl_semi_sync_master_wait_point = AFTER_SYNC"} <= set(primary)


def test_one_without_a_replica_is_open_and_waits_for_nobody(compiled):
    assert not any(line.startswith(("read_only", "rpl_semi_sync")) for line in config(compiled, ALONE))
    assert "mariadb-writable" not in states(compiled, ALONE)
    assert not states(compiled, ALONE).keys() & {"mariadb-seeded", "mariadb-replication", "mariadb-backup-fresh"}


def test_databases_and_accounts_are_declared_on_the_primary_alone(compiled):
    declared = {"mariadb-databases", "mariadb-accounts", "mariadb-writable"}
    primary, replica = (states(compiled, server).keys() for server in PAIR)
    assert declared <= primary and not declared & replica
    assert {"mariadb-seeded", "mariadb-replication"} <= replica


def test_the_account_of_the_replica_is_for_both_and_in_no_other_environment(compiled):
    accounts = states(compiled, "db")["mariadb-accounts"]["accounts"]
    addresses = {compiled[server]["pillar"]["host"]["private"] for server in PAIR}
    assert set(accounts["replica"]["hosts"]) == addresses
    assert accounts["replica"]["grants"] == {"*": ["REPLICATION SLAVE"]}
    assert states(compiled, ALONE)["mariadb-accounts"]["accounts"]["replica"]["hosts"] == []


def test_the_server_is_started_on_known_data_only(compiled):
    replica = states(compiled, "db-slave02")
    assert {"insync_unit": "mariadb-service"} in replica["mariadb-seeded"]["require_in"]
    asserts = ("AssertPathExists=!/var/lib/mysql/.insync-seeding", "AssertPathExists=/var/lib/mysql/ibdata1")
    for server in (*PAIR, ALONE):
        assert all(line in states(compiled, server)["mariadb-unit"]["rendered"] for line in asserts)


@pytest.mark.parametrize("server", PAIR)
def test_the_keys_to_read_backups_are_on_no_server_that_makes_them(compiled, server):
    secrets = copy.deepcopy(compiled[server]["pillar"]["secrets"])
    assert not any("AGE-SECRET-KEY" in str(value) for role in secrets.values() for value in role.values())
    assert "db_verifier" not in secrets and "backup_retention" not in secrets


def test_who_verifies_backups_makes_none(compiled):
    (verifier,) = [server for server, side in compiled.items() if "db_verifier" in side["pillar"]]
    assert verifier not in PAIR
    recipients = compiled["db-slave02"]["pillar"]["mariadb"]["backup"]["recipients"]
    assert len(set(recipients.values())) == 2


@pytest.fixture(scope="module")
def switched(site, tmp_path_factory):
    """The pair, and one of its clients, after db was lost and db-slave02 became the primary."""
    file = tmp_path_factory.mktemp("primaries") / "primaries.json"
    insync_primaries.write("production", "db-slave02", ["db"], file=file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(insync_primaries, "FILE", file)
        return {server: compile_host(ROOT, site, server) for server in (*PAIR, "web02", "ct1", ALONE)}


def test_after_a_switch_each_has_the_others_part(compiled, switched):
    former, present = PAIR
    for server, before in ((former, present), (present, former)):
        assert states(switched, server).keys() == states(compiled, before).keys()
        # Nothing that it would be restarted for.
        assert config(switched, server) == config(compiled, server)
    assert states(switched, former)["mariadb-replication"]["source"] == "db-slave02.insync.internal"
    assert set(states(switched, present)["mariadb-accounts"]["accounts"]["replica"]["hosts"]) == set(
        states(compiled, former)["mariadb-accounts"]["accounts"]["replica"]["hosts"]
    )


def test_after_a_switch_everybody_is_told_where_the_primary_is_and_kept_from_the_lost_one(compiled, switched):
    assert list(switched["web02"]["pillar"]["endpoints"]["mysql"]["hosts"]) == ["db-slave02"]
    assert list(switched["ct1"]["pillar"]["endpoints"]["mysql"]["hosts"]) == ["db-slave02"]
    rules = {chunk["__id__"]: chunk for chunk in switched["web02"]["low"]}["firewall-rules"]["rendered"]
    lost = switched["db"]["pillar"]["host"]["private"]
    assert f'ip daddr {lost} tcp dport 3306 reject with tcp reset comment "db"' in rules
    assert not any("chain fence" in chunk.get("rendered", "") for chunk in compiled["web02"]["low"])
    # Another environment has its own.
    for name in ("mysql", "mysql-copy"):
        assert switched[ALONE]["pillar"]["endpoints"].get(name) == compiled[ALONE]["pillar"]["endpoints"].get(name)
    assert switched[ALONE]["pillar"]["firewall"]["refuse"] == []


def test_the_clients_may_enter_the_replica_before_it_is_the_primary(compiled):
    rules = {server: compiled[server]["pillar"]["firewall"]["allow"] for server in PAIR}
    primary, replica = (next(rule["sources"] for rule in rules[server] if rule["port"] == 3306) for server in PAIR)
    own = compiled["db-slave02"]["pillar"]["host"]["private"]
    assert set(primary) - {own} == set(replica)
