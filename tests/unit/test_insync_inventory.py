"""What follows from an inventory, seen on a small one."""

import copy
import subprocess

import insync_inventory
import insync_primaries
import pytest
import yaml


def _host(number, roles=()):
    return {
        "region": {"name": "nyc2", "source": "guess"},
        "private": f"10.0.0.{number}",
        "public": f"198.51.100.{number}",
        "tier": "web",
        "roles": list(roles),
        "lifecycle": "active",
        "purpose": f"number {number}",
        "owner": "ops",
    }


def _service(role, port, clients, network="private", unit="x.service", **more):
    common = {"unit": unit, "protocol": "tcp", "health": {"tcp": True}}
    return {"role": role, "port": port, "clients": clients, "network": network, **common, **more}


SMALL = {
    "networks": {"private": {"subnet": "10.0.0.0/24", "domain": "example.internal"}, "regions": ["nyc2"]},
    "hosts": {
        "gate": _host(2, ["ssh_gateway", "salt_master"]),
        "web9": _host(9, ["web"]),
        "web10": _host(10, ["web"]),
        "lb": _host(11, ["lb", "web"]),
    },
    "services": {
        "ssh": _service("base", 22, ["ssh_gateway"], unit="ssh.service", replaced_by="ssh-gateway"),
        "ssh-gateway": _service("ssh_gateway", 58878, ["world"], network="public", unit="ssh.service"),
        "salt": _service("salt_master", 4506, ["base"]),
        "http": _service("web", 8001, ["lb"]),
        "dns": {**_service("web", 53, ["web"]), "protocol": "udp"},
    },
    "zones": {"redirects": []},
}


@pytest.fixture
def inventory():
    return copy.deepcopy(SMALL)


def test_every_server_plays_base_first(inventory):
    assert insync_inventory.roles_of(inventory, "lb") == ["base", "lb", "web"]
    assert insync_inventory.hosts_with(inventory, "base") == ["gate", "web9", "web10", "lb"]
    assert insync_inventory.hosts_with(inventory, "web") == ["web9", "web10", "lb"]
    assert insync_inventory.hosts_with(inventory, "nothing") == []


@pytest.mark.parametrize("function", ["roles_of", "services_of", "allow", "listeners", "slice_for"])
@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("web1", "hosts.yaml: there is no server 'web1'; did you mean 'web10'?"),
        ("zzz", "hosts.yaml: there is no server 'zzz'"),
        ("world", "hosts.yaml: there is no server 'world'"),
    ],
)
def test_an_unknown_server_is_named_with_the_nearest_known(inventory, function, host, message):
    with pytest.raises(insync_inventory.InventoryError) as raised:
        getattr(insync_inventory, function)(inventory, host)
    assert str(raised.value) == message


def test_a_service_that_replaces_another_leaves_it_out(inventory):
    assert list(insync_inventory.services_of(inventory, "gate")) == ["ssh-gateway", "salt"]
    assert list(insync_inventory.services_of(inventory, "web9")) == ["ssh", "http", "dns"]


def test_listeners_are_sorted_and_single(inventory):
    inventory["services"]["http-too"] = _service("web", 8001, ["world"], network="public")
    assert insync_inventory.listeners(inventory, "web9") == [("tcp", 22), ("tcp", 8001), ("udp", 53)]


def test_the_world_is_let_in_on_the_public_address(inventory):
    assert insync_inventory.allow(inventory, "gate")[0] == {
        "service": "ssh-gateway",
        "network": "public",
        "address": "198.51.100.2",
        "port": 58878,
        "protocol": "tcp",
        "unit": "ssh.service",
        "sources": ["world"],
    }


@pytest.mark.parametrize(
    ("host", "service", "sources"),
    [
        ("gate", "salt", ["10.0.0.2", "10.0.0.9", "10.0.0.10", "10.0.0.11"]),
        ("web9", "ssh", ["10.0.0.2"]),
        ("web9", "http", ["10.0.0.11"]),
        ("web9", "dns", ["10.0.0.9", "10.0.0.10", "10.0.0.11"]),
    ],
)
def test_servers_are_let_in_by_their_private_addresses_in_order(inventory, host, service, sources):
    rules = {rule["service"]: rule for rule in insync_inventory.allow(inventory, host)}
    assert rules[service]["sources"] == sources
    assert rules[service]["address"] == inventory["hosts"][host]["private"]


def test_what_listens_is_what_the_firewall_lets_in(inventory):
    for host in inventory["hosts"]:
        opened = {(rule["protocol"], rule["port"]) for rule in insync_inventory.allow(inventory, host)}
        assert sorted(opened) == insync_inventory.listeners(inventory, host)
        assert all(rule["sources"] for rule in insync_inventory.allow(inventory, host))


def test_flows_are_between_different_servers(inventory):
    flows = insync_inventory.flows(inventory)
    assert flows[0] == ("world", "gate", "ssh-gateway")
    assert [flow for flow in flows if flow[2] == "ssh"] == [("gate", name, "ssh") for name in ("web9", "web10", "lb")]
    assert [flow for flow in flows if flow[2] == "http"] == [("lb", "web9", "http"), ("lb", "web10", "http")]
    assert len(flows) == len(set(flows)) == 1 + 3 + 3 + 2 + 6


def test_the_slice_of_a_server(inventory):
    part = insync_inventory.slice_for(inventory, "web9")
    assert part["host"] == {
        "name": "web9",
        "fqdn": "web9.example.internal",
        "region": "nyc2",
        "private": "10.0.0.9",
        "public": "198.51.100.9",
        "lifecycle": "active",
        "frozen": False,
        "purpose": "number 9",
    }
    assert part["roles"] == ["base", "web"]
    assert list(part["peers"]) == ["gate", "web9", "web10", "lb"]
    assert part["peers"]["lb"] == {"private": "10.0.0.11", "fqdn": "lb.example.internal"}
    assert part["firewall"] == {"allow": insync_inventory.allow(inventory, "web9"), "refuse": []}
    assert part["sshd"] == {"port": 22, "permit_open": []}
    assert part["salt"] == {"master": "gate", "master_address": "10.0.0.2"}
    web = ["10.0.0.9", "10.0.0.10", "10.0.0.11"]
    assert part["clients"] == {"lb": ["10.0.0.11"], "ssh_gateway": ["10.0.0.2"], "web": web}
    assert part["endpoints"] == insync_inventory.endpoints(inventory)
    assert (part["slots"], part["names"], part["public_names"]) == ({}, [], {})
    assert (part["redirects"], part["wildcard_names"], part["certificates"]) == ([], [], [])
    known = {"host", "roles", "peers", "firewall", "slots", "pools", "clients", "names", "public_names", "endpoints"}
    known |= {"redirects", "wildcard_names", "certificates", "health"}
    assert set(part) == known | {"retired", "salt", "sshd"}


def test_how_services_are_asked_whether_they_work(inventory):
    found = insync_inventory.slice_for(inventory, "web9")["health"]
    common = {"address": "10.0.0.9", "name": "web9.example.internal", "unit": "x.service", "health": {"tcp": True}}
    assert found["http"] == {**common, "port": 8001, "protocol": "tcp"}
    assert (set(found), found["ssh"]["unit"]) == ({"ssh", "http", "dns"}, "ssh.service")
    # A public site answers to its names only, and the plain one has those of the other.
    sites = {"lb-http": _service("lb", 80, ["world"], network="public")}
    sites["lb-https"] = _service("lb", 443, ["world"], network="public", names=["www.example.com"], slot_of="lb")
    inventory["services"] |= sites
    found = insync_inventory.slice_for(inventory, "lb")["health"]
    for name in sites:
        assert (found[name]["name"], found[name]["address"]) == ("www.example.com", "198.51.100.11")
    assert found["lb-https"]["slot_of"] == "lb"


def test_where_services_are(inventory):
    found = insync_inventory.endpoints(inventory)
    assert set(found) == {"salt", "http", "dns"}, "neither what every server offers nor what the world is offered"
    assert (found["http"]["port"], found["http"]["health"]) == (8001, {"tcp": True})
    assert found["http"]["hosts"] == {name: f"{name}.example.internal" for name in ("web9", "web10", "lb")}


def test_slots_belong_to_their_pool(inventory):
    for slot, port in (("blue", 8101), ("green", 8102)):
        inventory["services"][f"app-{slot}"] = _service("web", port, ["lb"], slot_of="app")
    assert insync_inventory.slots(inventory, "web9") == {"app": {"blue": 8101, "green": 8102}}
    assert insync_inventory.slots(inventory, "gate") == {}


def test_a_server_with_tls_needs_a_certificate(inventory):
    assert insync_inventory.hosts_with_tls(inventory) == []
    inventory["services"]["http"]["tls"] = True
    assert insync_inventory.hosts_with_tls(inventory) == ["web9", "web10", "lb"]


def test_the_names_that_a_server_answers_to(inventory):
    inventory["services"]["http"]["names"] = ["www.example.com", "a.example.com"]
    assert insync_inventory.slice_for(inventory, "lb")["names"] == ["a.example.com", "www.example.com"]


def test_every_server_knows_the_public_names_of_all_services(inventory):
    inventory["services"]["http"]["names"] = ["www.example.com", "a.example.com"]
    for host in inventory["hosts"]:
        names = insync_inventory.slice_for(inventory, host)["public_names"]
        assert names == {"http": ["www.example.com", "a.example.com"]}, "the first is the one to ask"


def test_servers_come_after_those_that_they_are_clients_of(inventory):
    del inventory["services"]["dns"]
    inventory["services"]["data"] = _service("db", 3306, ["web"])
    inventory["hosts"]["db"] = _host(12, ["db"])
    waves = insync_inventory.waves(inventory)
    assert waves == [["gate", "db"], ["web9", "web10"], ["lb"]]
    assert insync_inventory.with_needed(inventory, ["web9"]) == ["web9", "db"]
    assert insync_inventory.with_needed(inventory, ["lb"]) == ["web9", "web10", "lb", "db"]
    inventory["services"]["page"] = _service("db", 443, ["ssh_gateway"])
    assert insync_inventory.waves(inventory) == waves, "who only looks at it does not need it"


def test_servers_that_need_each_other_share_a_wave(inventory):
    assert insync_inventory.waves(inventory) == [["gate"], ["web9", "web10", "lb"]]


def test_only_the_gateway_leads_on_and_to_ssh_alone(inventory):
    sshd = insync_inventory.slice_for(inventory, "gate")["sshd"]
    assert sshd == {"port": 58878, "permit_open": ["10.0.0.9:22", "10.0.0.10:22", "10.0.0.11:22"]}


def _as_ssh_reads_it(path, host):
    done = subprocess.run(["ssh", "-G", "-F", path, host], capture_output=True, text=True, check=True)
    options = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    return [options.get(key) for key in ("hostname", "port", "proxyjump", "hostkeyalias", "stricthostkeychecking")]


def test_ssh_itself_reads_the_way_to_every_server(inventory, tmp_path):
    path = tmp_path / "config"
    path.write_text(insync_inventory.ssh_config(inventory))
    assert _as_ssh_reads_it(path, "gate") == ["198.51.100.2", "58878", None, "gate", "true"]
    for host in ("web9", "web10", "lb"):
        private = inventory["hosts"][host]["private"]
        assert _as_ssh_reads_it(path, host) == [private, "22", "gate", host, "true"]
    assert _as_ssh_reads_it(path, "elsewhere")[:3] == ["elsewhere", "22", None]


def test_user_and_known_hosts_are_the_callers(inventory, tmp_path):
    plain = insync_inventory.ssh_config(inventory)
    assert "User" not in plain
    text = insync_inventory.ssh_config(inventory, user="alice", known_hosts="~/.ssh/fleet")
    assert text == plain + "  User alice\n  UserKnownHostsFile ~/.ssh/fleet\n"


def _write(directory, inventory):
    for name, data in inventory.items():
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def test_load_returns_what_the_files_say_in_their_order(inventory, tmp_path):
    _write(tmp_path, inventory)
    loaded = insync_inventory.load(tmp_path)
    assert loaded == inventory
    assert list(loaded["hosts"]) == list(inventory["hosts"])
    assert insync_inventory.load(str(tmp_path)) == loaded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "hosts.yaml: is empty, or no mapping"),
        ("- web9", "hosts.yaml: is empty, or no mapping"),
        ("web9: {", "hosts.yaml: line 2: "),
        ("web9: {}\nweb9: {}", "hosts.yaml: line 2: the key 'web9' is given twice, first on line 1"),
        ("a: {}\n---\nb: {}", "hosts.yaml: line 2: but found another document"),
        ("a: !!python/name:os.system", "hosts.yaml: line 1: could not determine a constructor for the tag"),
        ("a: \x01", "hosts.yaml: unacceptable character"),
    ],
)
def test_load_refuses_what_it_cannot_read(inventory, tmp_path, text, message):
    _write(tmp_path, inventory)
    (tmp_path / "hosts.yaml").write_text(text)
    with pytest.raises(insync_inventory.InventoryError) as raised:
        insync_inventory.load(tmp_path)
    assert str(raised.value).startswith(message)


def test_load_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(insync_inventory.InventoryError, match="^networks.yaml: cannot be read: No such file"):
        insync_inventory.load(tmp_path)


PAIR = {"db": _host(20, ["mysql_primary", "web"]), "db2": _host(21, ["mysql_replica"])}
SQL = {"mysql": _service("mysql_primary", 3306, ["web", "mysql_replica"]), "copy": _service("mysql_primary", 3307, [])}


@pytest.fixture
def pair(inventory, tmp_path):
    """Where an inventory with two databases is, and a function that keeps which of them is the primary."""
    inventory["hosts"] |= copy.deepcopy(PAIR)
    inventory["services"] |= copy.deepcopy(SQL)
    _write(tmp_path, inventory)
    return lambda **kept: (
        insync_primaries.write("production", file=tmp_path / "kept", **kept) if kept else None,
        insync_inventory.load(tmp_path, tmp_path / "kept"),
    )[1]


def test_the_primary_is_the_one_that_was_switched_to_last(pair):
    assert pair()["hosts"]["db2"]["roles"] == ["mysql_replica"]
    switched = pair(primary="db2")
    assert switched["hosts"]["db"]["roles"] == ["mysql_replica", "web"]
    assert switched["hosts"]["db2"]["roles"] == ["mysql_primary"]
    assert list(insync_inventory.endpoints(switched)["mysql"]["hosts"]) == ["db2"]
    assert pair(primary="db")["hosts"]["db"]["roles"] == ["mysql_primary", "web"]


def test_a_fenced_database_is_reached_by_none_of_its_clients(pair):
    switched = pair(primary="db2", fenced=["db"])
    refused = [{"server": "db", "address": "10.0.0.20", "protocol": "tcp", "port": 3306}]
    found = {host: insync_inventory.refuse(switched, host) for host in ("web9", "db", "db2", "gate")}
    assert found == {"web9": refused, "db": [], "db2": [], "gate": []}
    assert insync_inventory.refuse(pair(primary="db2"), "web9") == []


@pytest.mark.parametrize(
    ("primary", "message"), [("web9", "web9 is the primary of production since"), ("gone", "gone is the primary")]
)
def test_a_primary_that_hosts_yaml_does_not_know_as_a_database_is_told(pair, primary, message):
    with pytest.raises(insync_inventory.InventoryError, match=f"{message}.*gives it neither"):
        pair(primary=primary)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"production": {}}', '{"production": {"primary": 1, "fenced": []}}'])
def test_what_is_kept_and_cannot_be_read_is_told(pair, tmp_path, text):
    (tmp_path / "kept").write_text(text)
    with pytest.raises(insync_inventory.InventoryError, match="kept: it is damaged"):
        pair()


def test_a_hint_is_given_only_for_what_is_near():
    assert insync_inventory.hint("web1", ["web02", "db"]) == "; did you mean 'web02'?"
    assert insync_inventory.hint("sentry", ["web02", "db"]) == ""
    assert insync_inventory.hint(5, ["5a"]) == "; did you mean '5a'?"
    assert insync_inventory.hint("x", []) == ""


@pytest.fixture
def trial(inventory):
    """With an environment of one server that has web and its balancer, and no salt-master."""
    inventory["hosts"]["trial"] = {**_host(20, ["web", "lb"]), "environment": "trial"}
    http = inventory["services"]["http"]
    http.update(slot_of="http", names=["www.example.com"], names_in={"trial": ["trial.example.com"]})
    return inventory


def test_environments_do_not_see_each_other(trial):
    assert insync_inventory.environments(trial) == ["production", "trial"]
    http = [flow for flow in insync_inventory.flows(trial) if flow[2] == "http"]
    assert http == [("lb", "web9", "http"), ("lb", "web10", "http")]
    rules = {rule["service"]: rule["sources"] for rule in insync_inventory.allow(trial, "trial")}
    assert rules["http"] == ["10.0.0.20"], "its own balancer, and nobody else's"
    assert rules["ssh"] == ["10.0.0.2"], "the way in is the same for all"
    assert insync_inventory.slice_for(trial, "trial")["clients"]["lb"] == ["10.0.0.20"]
    assert insync_inventory.slice_for(trial, "web9")["clients"]["lb"] == ["10.0.0.11"]


def test_what_an_environment_lacks_production_has_for_it(trial):
    own, production = (insync_inventory.slice_for(trial, host)["endpoints"] for host in ("trial", "web9"))
    assert list(own["http"]["hosts"]) == ["trial"]
    assert list(production["http"]["hosts"]) == ["web9", "web10", "lb"]
    assert list(own["salt"]["hosts"]) == ["gate"]
    assert "10.0.0.20" in insync_inventory.allow(trial, "gate")[1]["sources"]


def test_an_environment_has_names_and_applications_of_its_own(trial):
    assert insync_inventory.slice_for(trial, "trial")["public_names"] == {"http": ["trial.example.com"]}
    assert insync_inventory.slice_for(trial, "web9")["names"] == ["www.example.com"]
    assert insync_inventory.all_pools(trial) == {"http": ["web9", "web10", "lb"], "trial-http": ["trial"]}
    assert insync_inventory.application(trial, "trial-http") == ("trial", "http")
    assert insync_inventory.application(trial, "http") == ("production", "http")
    assert insync_inventory.roles_in(trial, "trial") == ["base", "lb", "web"]


@pytest.fixture
def leading(inventory):
    """web9 leads names elsewhere, and offers a service with the fleet's certificate."""
    inventory["hosts"]["web9"]["roles"].append("redirects")
    secure = _service("redirects", 443, ["world"], network="public")
    plain = {**_service("redirects", 80, ["world"], network="public"), "health": {"http": {"path": "/", "status": 301}}}
    inventory["services"] |= {"lead": plain, "lead-tls": secure, "store": _service("web", 99, ["lb"], tls=True)}

    def redirect(name, host="web9", to="https://www.example.com/x/"):
        return {"name": name, "to": to, "host": host, "target_source": "known"}

    names = ["example.com", "*.example.net", "a.example.net", "a.b.example.net", "example.net"]
    inventory["zones"]["redirects"] = [redirect("web.example.com", "web10"), *map(redirect, names)]
    return inventory


def test_who_leads_names_elsewhere_knows_where_and_has_certificates_for_them(leading):
    part = insync_inventory.slice_for(leading, "web9")
    assert part["redirects"][0] == {"name": "example.com", "to": "https://www.example.com/x"}
    # One name below the wildcard is in its certificate, deeper ones are not.
    assert part["wildcard_names"] == ["*.example.net", "example.net"]
    assert part["names"] == ["a.b.example.net", "example.com"]
    assert part["public_names"] == {"lead-tls": [one["name"] for one in part["redirects"]]}
    assert part["certificates"] == [
        {
            "server": "web9",
            "service": "lead-tls",
            "network": "public",
            "address": "198.51.100.9",
            "port": 443,
            "by": "web9",
            "name": one["name"],
        }
        for one in part["redirects"]
    ]


def test_who_does_not_play_redirects_leads_nothing(leading):
    part = insync_inventory.slice_for(leading, "web10")
    assert (part["redirects"], part["names"], part["public_names"]) == ([], [], {})
    assert part["certificates"] == []


def test_a_client_looks_at_the_certificates_of_the_fleet(leading):
    part = insync_inventory.slice_for(leading, "lb")
    asked = [(one["server"], one["service"], one["address"], one["name"]) for one in part["certificates"]]
    # Nobody else is a client of the last one.
    assert asked == [
        ("web9", "store", "10.0.0.9", "web9.example.internal"),
        ("web10", "store", "10.0.0.10", "web10.example.internal"),
        ("lb", "store", "10.0.0.11", "lb.example.internal"),
    ]


def test_the_way_in_shows_no_certificate_though_it_has_a_name(inventory):
    inventory["services"]["ssh-gateway"]["names"] = ["gate.example.com"]
    assert insync_inventory.certificates(inventory) == []
