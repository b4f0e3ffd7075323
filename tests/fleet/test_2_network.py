"""Who reaches what is exactly what the inventory declares, seen from every server and from outside."""

import json

import insync_inventory
import pytest

from tests.fleet.conftest import INVENTORY, SERVERS

PORTS = sorted({service["port"] for service in INVENTORY["services"].values()})

PROBE = """
import asyncio, json, sys

async def probe(address, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 3)
        writer.close()
        return [address, port]
    except (OSError, asyncio.TimeoutError):
        return None

async def main(targets):
    return [found for found in await asyncio.gather(*(probe(*target) for target in targets)) if found]

print(json.dumps(sorted(asyncio.run(main(json.loads(sys.argv[1]))))))
"""


def test_every_server_listens_on_what_is_declared_and_nothing_else(fleet):
    answers = fleet.salt("*", "insync.ports")
    assert sorted(answers) == SERVERS
    for server, ports in answers.items():
        declared = [f"{protocol}/{port}" for protocol, port in insync_inventory.listeners(INVENTORY, server)]
        assert ports == {"declared": sorted(declared), "missing": [], "undeclared": []}, server


@pytest.mark.parametrize("source", [*SERVERS, "world"])
def test_a_server_reaches_what_is_declared_and_nothing_else(fleet, source):
    targets = [
        (INVENTORY["hosts"][server][network], port)
        for server in SERVERS
        if server != source
        for network in ("private", "public")
        for port in PORTS
    ]
    if source == "world":
        _route_to_private(fleet)
    reached = json.loads(fleet.ok(source, "python3", "-c", PROBE, json.dumps(targets)))
    assert reached == sorted([address, port] for address, port in targets if _declared(source, address, port))


def _route_to_private(fleet):
    """An attacker beside the fleet sends packets for private addresses to the public ones; the firewall stops them."""
    for server in SERVERS:
        host = INVENTORY["hosts"][server]
        fleet.ok("world", "ip", "route", "replace", f"{host['private']}/32", "via", host["public"])


HELLO = """
import socket, sys
address, port, banner = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
with socket.create_connection((address, port), 10) as connection:
    if banner:
        connection.settimeout(10)
        assert connection.recv(len(banner)) == banner
"""


@pytest.mark.parametrize("server", SERVERS)
def test_a_declared_client_finds_every_service_healthy(fleet, server):
    for name, service in insync_inventory.services_of(INVENTORY, server).items():
        assert fleet.ok(server, "systemctl", "is-active", service["unit"]).strip() == "active", name
        client = service["clients"][0]
        if client != "world":
            client = next(host for host in insync_inventory.hosts_with(INVENTORY, client) if host != server)
        address = INVENTORY["hosts"][server][service["network"]]
        fleet.ok(client, "python3", "-c", HELLO, address, str(service["port"]), service["health"].get("banner", ""))


def _declared(source, address, port):
    """Whether ``source`` may reach ``port`` at ``address``."""
    own = INVENTORY["hosts"].get(source, {}).get("private")
    return any(
        rule["address"] == address and rule["port"] == port and (rule["sources"] == ["world"] or own in rule["sources"])
        for server in SERVERS
        for rule in insync_inventory.allow(INVENTORY, server)
    )


def test_a_port_opened_by_hand_is_reported(fleet):
    fleet.ok("wiki", "systemd-run", "--unit=by-hand", "python3", "-m", "http.server", "8081")
    try:
        ports = fleet.eventually(
            lambda: fleet.salt("wiki", "insync.ports")["wiki"]["undeclared"], why="port 8081 was not seen"
        )
        assert ports == ["tcp/8081"]
    finally:
        fleet.ok("wiki", "systemctl", "stop", "by-hand")
