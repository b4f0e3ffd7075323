"""Web sites of several roles on one server: nginx knows each by its name."""

import re

import pytest
import yaml

from lab.compile import compile_host
from tests.compile.test_refusals import own_checkout  # noqa: F401  fixture
from tests.compile.test_servers import unresolved


@pytest.mark.parametrize(
    ("host", "role", "names"),
    [
        ("dev", "wiki", {"dev.insync.internal", "hg.insynchq.com", "wiki.insynchq.com"}),
        ("wiki", "forum", {"wiki.insynchq.com", "forums.insynchq.com"}),
        ("radar-2", "mrkr", {"radar-2.insync.internal", "mrkr.io"}),
    ],
)
def test_a_role_with_a_site_comes_to_a_server_that_has_some(own_checkout, site, host, role, names):  # noqa: F811
    path = own_checkout / "pillar" / "inventory" / "hosts.yaml"
    hosts = yaml.safe_load(path.read_text())
    for one in hosts.values():
        one["roles"] = [other for other in one["roles"] if other != role]
    hosts[host]["roles"].append(role)
    path.write_text(yaml.safe_dump(hosts, sort_keys=False))
    compiled = compile_host(own_checkout, site, host)
    assert unresolved(compiled["low"]) == []
    config = next(chunk["rendered"] for chunk in compiled["low"] if chunk["__id__"] == "nginx-config")
    lines = re.findall(r"^ +server_name (.*);", config, re.MULTILINE)
    assert {name for line in lines for name in line.split()} == names
    assert set(compiled["pillar"]["names"]) == {name for name in names if not name.endswith(".internal")}
    zones = re.findall(r"zone=(\w+):", config)
    assert len(zones) == len(set(zones)), "none counts for two sites"
