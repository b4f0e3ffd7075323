"""Who reaches what is exactly what the inventory declares, seen from every server and from outside."""

import json

import insync_inventory
import pytest

from tests.fleet.conftest import INVENTORY, SERVERS

FLOWS = insync_inventory.flows(INVENTORY)
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
        declared = {f"{service['protocol']}/{service['port']}" for service in _in_use(fleet, server).values()}
        assert ports == {"declared": sorted(declared), "missing": [], "undeclared": []}, server


@pytest.fixture(scope="module")
def idle(fleet):
    """Where a server would serve a release, but does not now: nothing listens there, whoever may connect."""
    found = set()
    for server in SERVERS:
        offered, in_use = insync_inventory.services_of(INVENTORY, server), _in_use(fleet, server)
        address = INVENTORY["hosts"][server]["private"]
        found |= {(address, one["port"]) for name, one in offered.items() if name not in in_use}
    return found


@pytest.mark.parametrize("source", [*SERVERS, "world"])
def test_a_server_reaches_what_is_declared_and_nothing_else(fleet, idle, source):
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
    declared = {(address, port) for address, port in targets if _declared(source, address, port)}
    assert reached == sorted([address, port] for address, port in declared - idle)


def _route_to_private(fleet):
    """An attacker beside the fleet sends packets for private addresses to the public ones; the firewall stops them."""
    for server in SERVERS:
        host = INVENTORY["hosts"][server]
        fleet.ok("world", "ip", "route", "replace", f"{host['private']}/32", "via", host["public"])


HELLO = """
import http.client, json, socket, sys
address, port, health, name = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
with socket.create_connection((address, port), 10) as connection:
    connection.settimeout(10)
    banner = health.get("banner", "").encode()
    assert connection.recv(len(banner)) == banner if banner else True
if "http" in health:
    asked = http.client.HTTPConnection(address, port, timeout=10)
    asked.request("GET", health["http"]["path"], headers={"Host": name})
    answer = asked.getresponse()
    assert answer.status == health["http"]["status"], f"{answer.status}: {answer.read().decode()}"
"""


@pytest.mark.parametrize("server", SERVERS)
def test_a_declared_client_finds_every_service_healthy(fleet, server):
    for name, service in _in_use(fleet, server).items():
        assert fleet.ok(server, "systemctl", "is-active", service["unit"]).strip() == "active", name
        # The only one may be the server itself.
        client = next((one for one, other, what in FLOWS if (other, what) == (server, name)), server)
        address = INVENTORY["hosts"][server][service["network"]]
        asked = [address, str(service["port"]), json.dumps(service["health"])]
        fleet.ok(client, "python3", "-c", HELLO, *asked, _name(server, service) or address)


def _name(server, service):
    """A public name of ``server``, if that is what the service is asked by: nginx knows no other."""
    offered = [
        one for one in insync_inventory.services_of(INVENTORY, server).values() if one["unit"] == service["unit"]
    ]
    names = [name for one in offered for name in one.get("names", [])]
    names += [one["name"] for one in INVENTORY["zones"]["redirects"] if one["host"] == server]
    return names[0] if service["network"] == "public" and names else ""


def _in_use(fleet, server):
    """What ``server`` offers; of the release slots of an application those that run, and one has to."""
    offered = insync_inventory.services_of(INVENTORY, server)
    for pool in {service["slot_of"] for service in offered.values() if "slot_of" in service}:
        slots = {name: one for name, one in offered.items() if one.get("slot_of") == pool}
        states = {name: fleet.run(server, "systemctl", "is-active", one["unit"]) for name, one in slots.items()}
        idle = [name for name, state in states.items() if state.returncode]
        assert len(idle) < len(slots), f"{server}: no slot of {pool} runs"
        offered = {name: one for name, one in offered.items() if name not in idle}
    return offered


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
