"""Who reaches what is exactly what the inventory declares, seen from every server and from outside."""

import concurrent.futures
import json

import insync_inventory
import insync_reachability
import pytest

from tests.fleet.conftest import INVENTORY, ROOT, SERVERS

pytestmark = pytest.mark.alone
FLOWS = insync_inventory.flows(INVENTORY)
PORTS = sorted({service["port"] for service in INVENTORY["services"].values()})

PROBE = """
import asyncio, json, sys

async def probe(address, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 2)
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


@pytest.fixture(scope="module")
def reached(fleet):
    """What each server, and the world, reaches of all that any server offers: {who asks: [[address, port]]}."""
    _route_to_private(fleet)

    def probe(source):
        return json.loads(fleet.ok(source, "python3", "-c", PROBE, json.dumps(_targets(source))))

    sources = [*SERVERS, "world"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return dict(zip(sources, pool.map(probe, sources), strict=True))


def _targets(source):
    return [
        (INVENTORY["hosts"][server][network], port)
        for server in SERVERS
        if server != source
        for network in ("private", "public")
        for port in PORTS
    ]


@pytest.mark.parametrize("source", [*SERVERS, "world"])
def test_a_server_reaches_what_is_declared_and_nothing_else(reached, idle, source):
    own = INVENTORY["hosts"].get(source, {}).get("private")
    declared = {
        (rule["address"], rule["port"])
        for server in SERVERS
        if server != source
        for rule in insync_inventory.allow(INVENTORY, server)
        if rule["sources"] == ["world"] or own in rule["sources"]
    }
    assert reached[source] == sorted([address, port] for address, port in declared - idle)


def test_the_picture_of_who_reaches_whom_is_true(reached, idle):
    """docs/reachability.svg draws this table; a stale picture fails elsewhere."""
    hosts = INVENTORY["hosts"]
    places = {hosts[server][network]: (network, server) for server in SERVERS for network in ("private", "public")}
    seen = {}
    for source, found in reached.items():
        for address, port in found:
            network, server = places[address]
            seen.setdefault((source, server), set()).add((network, port))
    drawn = {}
    for (source, server), ports in insync_reachability.matrix(INVENTORY).items():
        serving = {(network, port) for network, port in ports if (hosts[server][network], port) not in idle}
        if serving:
            drawn[source, server] = serving
    assert seen == drawn


SWEEP = """
import errno, json, select, socket, sys, time
address, open_ports, left = sys.argv[1], [], list(range(1, 65536))
while left:
    batch, left = left[:15000], left[15000:]
    poll, waiting = select.poll(), {}
    for port in batch:
        one = socket.socket()
        one.setblocking(False)
        if one.connect_ex((address, port)) not in (0, errno.EINPROGRESS):
            one.close()
            continue
        waiting[one.fileno()] = (one, port)
        poll.register(one, select.POLLOUT)
    end = time.monotonic() + 0.7
    while waiting and time.monotonic() < end:
        for number, _ in poll.poll(100):
            one, port = waiting.pop(number)
            poll.unregister(one)
            if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                open_ports.append(port)
            one.close()
    for one, _ in waiting.values():
        one.close()
print(json.dumps(sorted(open_ports)))
"""


def test_no_other_of_all_ports_is_open(fleet, idle):
    """A few servers, from outside and from inside; every port, not only those that some server offers."""
    pairs = [("world", "public", "ct1"), ("world", "public", "dev02"), ("web02", "private", "db")]

    def sweep(pair):
        source, network, server = pair
        return json.loads(fleet.ok(source, "python3", "-c", SWEEP, INVENTORY["hosts"][server][network]))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = dict(zip(pairs, pool.map(sweep, pairs), strict=True))
    matrix = insync_reachability.matrix(INVENTORY)
    declared = {
        (source, network, server): [
            port
            for kind, port in matrix.get((source, server), [])
            if kind == network and (INVENTORY["hosts"][server][network], port) not in idle
        ]
        for source, network, server in pairs
    }
    assert found == declared


def _route_to_private(fleet):
    """An attacker beside the fleet sends packets for private addresses to the public ones; the firewall stops them."""
    for server in SERVERS:
        host = INVENTORY["hosts"][server]
        fleet.ok("world", "ip", "route", "replace", f"{host['private']}/32", "via", host["public"])


# As a server asks its own services, from where a client is.
PROBLEM = (ROOT / "_utils" / "insync_health.py").read_text()
ASK = f"{PROBLEM}\nimport json, sys\nsys.exit(problem(json.loads(sys.argv[1])) or 0)\n"


@pytest.mark.parametrize("server", SERVERS)
def test_a_declared_client_finds_every_service_healthy(fleet, server):
    for name, service in _in_use(fleet, server).items():
        assert fleet.ok(server, "systemctl", "is-active", service["unit"]).strip() == "active", name
        # The only one may be the server itself.
        client = next((one for one, other, what in FLOWS if (other, what) == (server, name)), server)
        asked = insync_inventory.slice_for(INVENTORY, server)["health"][name]
        fleet.ok(client, "python3", "-c", ASK, json.dumps(asked))


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


def test_every_server_finds_its_own_services_well_and_tells_what_is_not(fleet):
    for server, told in fleet.salt("*", "insync.health", "wait=30").items():
        assert set(_in_use(fleet, server)) <= set(told["well"]), server
    fleet.ok("wiki", "systemctl", "stop", "mediawiki")
    try:
        done = fleet.run("ct1", "salt", "wiki", "insync.health")
    finally:
        fleet.ok("wiki", "systemctl", "start", "mediawiki")
    assert done.returncode == 1 and "wiki-https: GET https://" in done.stdout and "answers 502, not 200" in done.stdout
    assert fleet.salt("wiki", "insync.health", "wait=30")["wiki"]["well"]


def test_a_port_opened_by_hand_is_reported(fleet):
    fleet.ok("wiki", "systemd-run", "--unit=by-hand", "python3", "-m", "http.server", "8081")
    try:
        ports = fleet.eventually(
            lambda: fleet.salt("wiki", "insync.ports")["wiki"]["undeclared"], why="port 8081 was not seen"
        )
        assert ports == ["tcp/8081"]
    finally:
        fleet.ok("wiki", "systemctl", "stop", "by-hand")


SITES = [
    (client, server, name)
    for client, server, name in {(flow[1], flow[2]): flow for flow in FLOWS}.values()
    if INVENTORY["services"][name]["unit"] == "nginx.service" and INVENTORY["services"][name]["network"] == "private"
]


@pytest.mark.parametrize("client, server, service", SITES, ids=[name for _, _, name in SITES])
def test_a_private_site_is_served_under_its_own_name_only(fleet, client, server, service):
    host, address = f"{server}.insync.internal", INVENTORY["hosts"][server]["private"]
    port = INVENTORY["services"][service]["port"]

    def ask(name, *options):
        command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "10"]
        names = ["--insecure", "--resolve", f"{name}:{port}:{address}"]
        done = fleet.run(client, *command, *names, *options, f"https://{name}:{port}/")
        return done.returncode, int(done.stdout or 0)

    code, status = ask(host)
    assert code == 0 and status > 0
    assert ask("other.example") == (35, 0), "its handshake is refused"
    assert ask(host, "--header", "Host: other.example") == (52, 0), "who has shown its name may not ask for another"
