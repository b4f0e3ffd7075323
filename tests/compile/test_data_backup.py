"""What every role keeps is backed up, or the role says why not; and who has which key for it."""

import importlib.util
import types

import insync_backup_keys
import insync_data_declared
import insync_inventory
import pytest
import yaml
from insync_data_backup import of_pillar

from lab.paths import ROOT

INVENTORY = insync_inventory.load(ROOT / "pillar" / "inventory")
ROLES = sorted(insync_inventory.known_roles(INVENTORY, ROOT / "salt" / "role"))
PILLAR = [str(ROOT / "pillar")]
SERVERS = insync_backup_keys.servers(PILLAR, INVENTORY)


def of(role):
    return (yaml.safe_load((ROOT / "pillar" / "role" / f"{role}.sls").read_text()) or {}).get("backup", {})


@pytest.mark.parametrize("role", ROLES)
def test_every_role_says_what_it_keeps_or_why_it_keeps_nothing(role):
    said = of(role)
    assert role in said, f"pillar/role/{role}.sls: backup.{role}: what does it keep? or none, and why"
    assert insync_data_declared.of_roles(PILLAR, [role]) == said
    assert len(said[role].get("none", "a reason is a sentence")) > 10


def test_the_stores_that_were_asked_for_are_among_them():
    needed = {"pypi_server", "hg_server", "wiki", "forum", "sentry", "conf_server", "redis", "repos", "salt_master"}
    assert needed <= {role for role in ROLES if "none" not in of(role)[role]}
    kept = of("salt_master")["salt_master"]["files"]
    assert {"/etc/salt/pki", "/srv/insync/site", "/var/lib/insync/*"} <= set(kept)


def units(compiled, server):
    return {chunk["__id__"] for chunk in compiled[server]["low"] if chunk["__sls__"] == "data_backup"}


def test_who_has_data_backs_it_up_and_is_red_when_it_is_late(compiled):
    for server, side in compiled.items():
        assert ("data-backup-fresh" in units(compiled, server)) is (server in SERVERS), server
        kinds = of_pillar(side["pillar"])
        assert bool(kinds) is (server in SERVERS)
    fresh = next(chunk for chunk in compiled["dev"]["low"] if chunk["__id__"] == "data-backup-fresh")
    assert fresh["hours"] == {"pypi_server": 26, "hg_server": 26, "certificates": 26}
    assert units(compiled, "web02") == {f"data-backup-no-{what}" for what in ("timer", "unit", "package", "record")}


def test_a_database_is_kept_by_itself_where_nothing_follows_it(compiled):
    kept = {server for server, side in compiled.items() if "mysql_primary" in of_pillar(side["pillar"])}
    assert kept == {server for server, host in INVENTORY["hosts"].items() if "environment" in host}
    for server, side in compiled.items():
        fresh = [chunk for chunk in side["low"] if chunk["__id__"] == "data-backup-fresh"]
        assert ("mysql_primary" in str([chunk["hours"] for chunk in fresh])) is (server in kept), server


def test_every_server_with_a_public_certificate_keeps_it(compiled):
    having = {
        server for server, side in compiled.items() if side["pillar"]["names"] or side["pillar"]["wildcard_names"]
    }
    kept = {server: of_pillar(side["pillar"]).values() for server, side in compiled.items()}
    there = ["/etc/letsencrypt"]
    keeping = {server for server, kinds in kept.items() if any(what.get("files") == there for what in kinds)}
    assert having == keeping


def test_a_server_has_its_own_key_and_who_removes_has_no_other_than_its_own(compiled):
    secrets = {server: side["pillar"]["secrets"] for server, side in compiled.items()}
    own = {server: found["backup"] for server, found in secrets.items() if "backup" in found}
    assert set(own) == set(SERVERS)
    for key in insync_backup_keys.KEYS:
        assert len({found[key] for found in own.values()}) == len(own), key
    (keeper,) = [server for server, found in secrets.items() if "backup_passwords" in found]
    assert "backup_retention" in compiled[keeper]["pillar"]["roles"]
    assert secrets[keeper]["backup_passwords"] == {server: found["password"] for server, found in own.items()}
    for server, found in own.items():
        others = {one["s3_secret_key"] for name, one in own.items() if name != server}
        assert not any(other in str(secrets[server]) for other in others)
        assert found["s3_secret_key"] != secrets[keeper]["backup_retention"]["s3_secret_key"]


def test_what_depends_on_an_engine_is_there_with_that_engine_alone(compiled, monkeypatch):
    pillar = dict(compiled["insynchq-support"]["pillar"])
    assert set(of_pillar(pillar)) == {"forum", "forum_certificates"}
    pillar["forum"] = {"engine": "none"}
    assert of_pillar(pillar) == {}
    # Who brings this server back is not stopped by that.
    spec = importlib.util.spec_from_file_location("insync_backup_module", ROOT / "_modules" / "insync_backup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__opts__, module.__grains__ = {}, types.SimpleNamespace(value=dict)
    monkeypatch.setattr(module.insync_fresh_pillar, "compile", lambda *_: pillar)
    assert module.backups() == {"data": {}}
