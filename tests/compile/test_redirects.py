"""The redirects follow the inventory to another server, and the wildcard's proof follows who serves its zone."""

import yaml

from lab.compile import compile_host
from tests.compile.test_refusals import ROOT, own_checkout, own_site  # noqa: F401  fixtures
from tests.compile.test_servers import unresolved

INI = "/etc/insync/dns-challenge.ini"


def by_id(low):
    return {chunk["__id__"]: chunk for chunk in low}


def edit(path, change):
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def test_digitalocean_is_told_a_token_and_nothing_else(compiled, own_site):  # noqa: F811
    token = compiled["ct1"]["pillar"]["secrets"]["redirects"]["dns_credential"]
    edit(own_site / "settings.yaml", lambda settings: settings.pop("redirects"))
    states = by_id(compile_host(ROOT, own_site, "ct1")["low"])
    lines = states["acme-dns-credentials"]["rendered"].splitlines()
    assert lines[1:] == [f'dns_digitalocean_token = "{token}"']
    assert states["acme-dns-package"]["pkgs"] == ["python3-certbot-dns-digitalocean"]
    dns = {"provider": "digitalocean", "credentials": INI, "propagation_seconds": 30}
    assert dict(states["acme-wildcard-certificate"]["dns"]) == dns


def test_the_redirects_move_by_the_inventory_alone(own_checkout, site):  # noqa: F811
    inventory = own_checkout / "pillar" / "inventory"

    def move(hosts):
        hosts["ct1"]["roles"].remove("redirects")
        hosts["ct1"]["retired"] = ["redirects"]
        hosts["web02"]["roles"].append("redirects")

    edit(inventory / "hosts.yaml", move)
    edit(inventory / "zones.yaml", lambda zones: [one.update(host="web02") for one in zones["redirects"]])
    new, left = (compile_host(own_checkout, site, host)["low"] for host in ("web02", "ct1"))
    assert unresolved(new) == unresolved(left) == []
    assert "*.insync.io" in by_id(new)["nginx-config"]["rendered"]
    assert by_id(new)["acme-wildcard-certificate"]["domains"] == ["*.insync.io", "insync.io"]
    assert not {"nginx-config", "acme-certificate", "acme-dns-credentials"} & set(by_id(left))
    removed = {
        chunk["name"] for chunk in left if chunk["__id__"].startswith("acme-absent") and chunk["fun"] == "absent"
    }
    assert {INI, "/etc/letsencrypt/renewal/wildcard.conf", "/etc/letsencrypt/renewal/public.conf"} <= removed
