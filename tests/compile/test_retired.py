"""A server that has left a role takes away what the role was, without its tunables and secrets."""

import pathlib
import re

import insync_data_declared
import insync_left_data
import yaml

from lab.compile import compile_host
from tests.compile.test_refusals import own_checkout  # noqa: F401  fixture
from tests.compile.test_servers import secrets_of, told, unresolved

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEAVING = sorted(path.parent.name for path in ROOT.glob("salt/role/*/absent.sls"))
# It plays base only.
SERVER = "sendy"


def retire(checkout, host, roles, stays=()):
    """Let ``host`` play ``stays`` and have left ``roles``."""
    path = checkout / "pillar" / "inventory" / "hosts.yaml"
    hosts = yaml.safe_load(path.read_text())
    hosts[host].update(roles=list(stays), retired=list(roles))
    path.write_text(yaml.safe_dump(hosts, sort_keys=False))


def test_leaving_every_role_needs_nothing_of_any(own_checkout, site, compiled):  # noqa: F811
    before = compiled[SERVER]
    retire(own_checkout, SERVER, LEAVING)
    after = compile_host(own_checkout, site, SERVER)
    assert unresolved(after["low"]) == []
    assert after["pillar"]["secrets"] == before["pillar"]["secrets"]
    assert set(after["pillar"]) == set(before["pillar"])
    new = {chunk["__id__"] for chunk in after["low"]} - {chunk["__id__"] for chunk in before["low"]}
    assert new and all("-absent" in name for name in new), new
    assert told(after["low"], secrets_of(after["pillar"])) == ["console-root"]


def test_what_leaves_sshd_is_as_safe_as_any_other_change_of_it(own_checkout, site):  # noqa: F811
    retire(own_checkout, SERVER, LEAVING)
    low = compile_host(own_checkout, site, SERVER)["low"]
    gone = [chunk for chunk in low if chunk["name"].startswith("/etc/ssh/") and chunk["fun"] == "absent"]
    assert {chunk["state"] for chunk in gone} == {"insync_sshd"}
    (confirmed,) = [chunk for chunk in low if chunk["__id__"] == "sshd-confirmed"]
    for chunk in gone:
        assert {"insync_sshd": chunk["__id__"]} in confirmed["watch"]
        assert {"file": "sshd-rollback-timer"} in chunk["require"]


def test_what_another_role_of_the_server_needs_stays(own_checkout, site):  # noqa: F811
    """web_lb has a public name, so the certificate; of the applications only the one that left goes."""
    retire(own_checkout, "web-lb02", ["license"], stays=["web_lb", "web"])
    low = compile_host(own_checkout, site, "web-lb02")["low"]
    names = {chunk["__id__"] for chunk in low}
    assert {"app-web-release", "app-license-absent-unit", "acme-certificate"} <= names
    assert not {name for name in names if re.match("(app-web|acme|haproxy)-absent", name)}


def test_every_application_of_a_role_can_be_left():
    """The list in app/map.jinja is written out, because a role that has been left has no tunables."""
    text = (ROOT / "salt" / "app" / "map.jinja").read_text()
    for path in sorted((ROOT / "pillar" / "role").glob("*.sls")):
        for name, app in (yaml.safe_load(path.read_text()) or {}).get("apps", {}).items():
            assert re.search(rf"for role in \[.*'{name}'", text), f"{name} is not among those that can be left"
            named = f"'{name}': '{app['virtualenv']}'" in text
            assert named or app["virtualenv"] == f"/insync/venv/{name}", f"{name} is in another virtualenv"


def test_a_service_whose_clients_have_all_left_is_for_nobody(own_checkout, site):  # noqa: F811
    retire(own_checkout, "staging", ["web_lb", "web", "license", "mailer", "periodic_mailer"], stays=["mysql_primary"])
    compiled = compile_host(own_checkout, site, "staging")
    (rule,) = [rule for rule in compiled["pillar"]["firewall"]["allow"] if rule["service"] == "mysql"]
    assert rule["sources"] == []
    (rules,) = [chunk["rendered"] for chunk in compiled["low"] if chunk["__id__"] == "firewall-rules"]
    assert 'comment "ssh"' in rules and 'comment "mysql"' not in rules


def test_a_master_whose_fleet_has_no_application_in_slots_compiles(own_checkout, site):  # noqa: F811
    path = own_checkout / "pillar" / "inventory" / "services.yaml"
    services = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({name: one for name, one in services.items() if "slot_of" not in one}))
    master = compile_host(own_checkout, site, "ct1")
    assert (master["pillar"]["pools"], unresolved(master["low"])) == ({}, [])


def test_what_a_role_declares_as_its_data_is_what_can_be_removed_once_it_has_left(own_checkout, site):  # noqa: F811
    retire(own_checkout, SERVER, LEAVING)
    low = compile_host(own_checkout, site, SERVER)["low"]
    left = insync_left_data.of_states(low)
    ends = [*left.paths, *left.folders] + [chunk["name"] for chunk in low if chunk["fun"] == "absent"]
    declared = insync_data_declared.of_roles([str(ROOT / "pillar")], LEAVING)
    paths = {path for what in declared.values() for path in paths_of(what)}
    odd = {path for path in paths if not any(pathlib.PurePath(path).is_relative_to(end) for end in ends)}
    assert odd == set() != paths


def paths_of(what):
    """The paths that ``what``, one kind of data as its role declares it, names."""
    for engine in ("files", "sqlite", "hg", "redis"):
        if engine in what:
            yield from [what[engine]] if isinstance(what[engine], str) else what[engine]


def test_whoever_installs_by_uv_keeps_its_cache(compiled):
    """The list in uv_cache/map.jinja is written out, because a role that has been left has no tunables."""
    text = (ROOT / "salt" / "uv_cache" / "map.jinja").read_text()
    by_uv = {"insync_bugsink", "insync_misago", "insync_release", "insync_venv"}
    users = {host for host, one in compiled.items() if by_uv & {chunk["state"] for chunk in one["low"]}}
    listed = {host for host in compiled if any(f"'{key}' in pillar" in text for key in compiled[host]["pillar"])}
    assert users != set() and users <= listed
