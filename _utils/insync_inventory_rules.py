"""The rules of the inventory: its schema, and what a schema cannot say. A rule yields a line for each breach."""

import ipaddress
import itertools
import json
import pathlib
import re
import reprlib
import urllib.parse

import jsonschema
from insync_inventory import (
    BALANCER,
    BASE,
    CI,
    FILES,
    GATEWAY,
    MASTER,
    PRIMARY,
    PRODUCTION,
    REDIRECTS,
    REPLICA,
    SSH_UNIT,
    WORLD,
    InventoryError,
    all_names,
    environment_of,
    environments,
    hint,
    hosts_with,
    known_roles,
    names_of,
    played,
    providers,
    read,
    retired_on,
    roles_in,
    roles_of,
    roles_with_states,
    services_of,
)

WEB_UNIT = "nginx.service"
PREVIEW = "preview"
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = rf"{LABEL}(\.{LABEL})+"
TYPES = {"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number"}


def problems(directory, roles_dir=None):
    """Return every breach as a list of str; see insync_inventory.problems. Each step takes the former for granted."""
    inventory, found = {}, []
    for name in FILES:
        try:
            inventory[name] = read(directory, name)
        except InventoryError as exc:
            found.append(str(exc))
    if found:
        return found
    schema = json.loads(pathlib.Path(directory, "schema.json").read_text(encoding="utf-8"))
    found = _shape(inventory, schema)
    if not found:
        found = [line for rule in RULES for line in rule(inventory)]
        if roles_dir:
            found += [line for rule in RULES_OF_ROLES for line in rule(inventory, pathlib.Path(roles_dir))]
    return found


# The schema.


def _matches(pattern, *reserved):
    return lambda value: bool(re.fullmatch(pattern, value)) and value not in reserved


def _parses(parse):
    def check(value):
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return check


# What a path consists of (RFC 3986) that means nothing else where it is written: no quotes, no $ and no ; of nginx.
SEGMENT = r"([A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+"
URL = rf"https?://{DOMAIN}(:(?P<port>[1-9][0-9]{{0,4}}))?(/{SEGMENT})*"


FORMATS = {
    "ipv4": (_parses(ipaddress.IPv4Address), "an IPv4 address"),
    "ipv4-network": (_parses(ipaddress.IPv4Network), "an IPv4 network such as 10.132.0.0/16"),
    "host-name": (
        _matches(LABEL, WORLD, "localhost"),
        "a server's name (a-z, 0-9 and - ; world and localhost are reserved)",
    ),
    "service-name": (_matches(LABEL), "a service's name (a-z, 0-9 and -)"),
    "environment-name": (_matches(LABEL, PRODUCTION), "an environment's name (a-z, 0-9 and -, not production)"),
    "role-name": (
        _matches(r"[a-z][a-z0-9_]*", BASE, WORLD),
        "a role's name (a-z, 0-9 and _ ; base is every server's anyway, world is reserved)",
    ),
    "domain-name": (_matches(DOMAIN), "a domain name"),
    "site-name": (_matches(DOMAIN), "a domain name; a wildcard is proven by DNS, which zones.yaml alone provides for"),
    "public-name": (_matches(rf"(\*\.)?{DOMAIN}"), "a domain name, or *. and one"),
    "unit-name": (_matches(r"[A-Za-z0-9_@.-]+\.(service|socket|timer)"), "a systemd unit such as ssh.service"),
    "url-path": (_matches(rf"/|(/{SEGMENT})+/?"), "a path that begins with /, of letters, digits and - . _ ~ % /"),
    "http-url": (
        lambda value: bool(match := re.fullmatch(URL, value)) and int(match["port"] or 1) <= 65535,
        "an http or https URL such as https://www.example.com/a: no port above 65535, no / at its end, no ? and no # "
        "(the path and query of what was asked come there), and in its path letters, digits and - . _ ~ % only",
    ),
}


def _shape(inventory, schema):
    checker = jsonschema.FormatChecker(formats=())
    for name, (check, _) in FORMATS.items():
        checker.checks(name)(lambda value, check=check: not isinstance(value, str) or check(value))
    validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
    errors = sorted(validator.iter_errors(inventory), key=lambda error: list(map(str, error.absolute_path)))
    # A missing key is reported once for each key that is missing; a line names all of them.
    return list(dict.fromkeys(map(_line, errors)))


def _line(error):
    file, *path = error.absolute_path
    key = ".".join(map(str, path))
    return f"{file}.yaml: {key + ': ' if key else ''}{_reason(error)}"


def _reason(error):
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "enum":
            return _not_one_of(value, wanted)
        case "type":
            return f"{reprlib.repr(value)} is not {TYPES.get(wanted, wanted)}"
        case "format":
            return f"'{value}' is not {FORMATS[wanted][1]}"
        case "required":
            return f"lacks {', '.join(key for key in wanted if key not in value)}"
        case "additionalProperties":
            known = error.schema["properties"]
            return "; ".join(f"unknown key '{key}'{hint(key, known)}" for key in value if key not in known)
    return error.message


def _not_one_of(value, known):
    value, *known = (json.dumps(one) if isinstance(one, bool) else str(one) for one in (value, *known))
    return f"'{value}' is not one of {', '.join(known)}{hint(value, known)}"


# The servers.


def _regions(inventory):
    known = inventory["networks"]["regions"]
    for name, host in inventory["hosts"].items():
        region = host["region"]["name"]
        if region not in known:
            yield f"hosts.yaml: {name}.region.name: {_not_one_of(region, known)}"


def _candidates(inventory):
    for name, host in inventory["hosts"].items():
        if host["lifecycle"] == "candidate" and "candidate" not in host:
            yield f"hosts.yaml: {name}.candidate: is missing; give for, reason and waits_for"
        if host["lifecycle"] == "active" and "candidate" in host:
            reason = "the server is active; remove this, or set lifecycle: candidate"
            yield f"hosts.yaml: {name}.candidate: {reason}"


def _frozen(inventory):
    for name, host in inventory["hosts"].items():
        if host.get("frozen") and "candidate" not in host:
            yield f"hosts.yaml: {name}.frozen: only a candidate for removal or merging is frozen"
        if host.get("frozen") and host["roles"]:
            roles = ", ".join(host["roles"])
            yield f"hosts.yaml: {name}.frozen: it plays {roles}, which needs packages; strike one off"


def _retired(inventory):
    for name, host in inventory["hosts"].items():
        for role in host.get("retired", []):
            if role in host["roles"]:
                yield f"hosts.yaml: {name}.retired: it plays '{role}'; strike that off here, or there"


def _addresses(inventory):
    subnet = ipaddress.ip_network(inventory["networks"]["private"]["subnet"])
    taken = {}
    for name, network in itertools.product(inventory["hosts"], ("private", "public")):
        key, address = f"{name}.{network}", inventory["hosts"][name][network]
        inside = ipaddress.ip_address(address) in subnet
        if inside is not (network == "private"):
            where = "inside" if inside else "outside"
            yield f"hosts.yaml: {key}: {address} is {where} networks.private.subnet {subnet}"
        elif not (_is_a_servers(address, subnet) if inside else _is_public(address)):
            yield f"hosts.yaml: {key}: {address} is the address of no server"
        if address in taken:
            yield f"hosts.yaml: {key}: {address} is {taken[address]} already"
        taken.setdefault(address, key)


def _is_a_servers(address, subnet):
    """Neither the first, which is the network's own, nor the last, which all hear."""
    return ipaddress.ip_address(address) not in (subnet.network_address, subnet.broadcast_address)


# They stand for addresses that are not known yet (RFC 5737).
DOCUMENTATION = [ipaddress.ip_network(one) for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


def _is_public(address):
    one = ipaddress.ip_address(address)
    return (one.is_global and not one.is_multicast) or any(one in network for network in DOCUMENTATION)


def _single_roles(inventory):
    for role in (MASTER, GATEWAY):
        players = hosts_with(inventory, role)
        if len(players) != 1:
            keys = ", ".join(f"{name}.roles" for name in players) or "no server's roles"
            near = "" if players else hint(role, played(inventory))
            yield f"hosts.yaml: {keys}: exactly one server must play '{role}'{near}"


def _replicas(inventory):
    for environment in environments(inventory):
        found = {
            role: [name for name in hosts_with(inventory, role) if environment_of(inventory, name) == environment]
            for role in (PRIMARY, REPLICA)
        }
        if found[REPLICA] and len(found[PRIMARY]) != 1:
            key = ", ".join(f"{name}.roles" for name in [*found[PRIMARY], *found[REPLICA]])
            yield f"hosts.yaml: {key}: replicas in {environment} need exactly one server that plays '{PRIMARY}' there"


def _left_halves(inventory):
    """What takes the one role away would take the other one's programs, user and data away too."""
    for name, host in inventory["hosts"].items():
        for both, told in (((PRIMARY, REPLICA), "the same database as"), (CI, "made of the same as")):
            left, stays = {*both} & {*retired_on(inventory, name)}, {*both} & {*host["roles"]}
            if left and stays:
                reason = f"'{min(left)}' is {told} '{min(stays)}', which it plays; strike it off here"
                yield f"hosts.yaml: {name}.retired: {reason}"


def _left_databases(inventory):
    for name in inventory["hosts"]:
        left = retired_on(inventory, name)
        clients = _led_to_production(inventory, environment_of(inventory, name))
        if PRIMARY in left and clients:
            reason = (
                f"{', '.join(clients)} would be led to production's '{PRIMARY}'; let them leave too, or another play it"
            )
            yield f"hosts.yaml: {name}.retired: {reason}"


def _led_to_production(inventory, environment):
    """The roles of an environment without a database of its own that would write into another one's."""
    playing = roles_in(inventory, environment)
    services = [service for service in inventory["services"].values() if service["role"] == PRIMARY]
    clients = {client for service in services for client in service["clients"]}
    return [role for role in playing if role in clients] if environment != PRODUCTION and PRIMARY not in playing else []


def _previews(inventory):
    for name in hosts_with(inventory, PREVIEW):
        if BALANCER not in roles_of(inventory, name):
            reason = f"'{PREVIEW}' guards what '{BALANCER}' offers, which it does not play; let it play both, or none"
            yield f"hosts.yaml: {name}.roles: {reason}"


# The services.


def _protocols(inventory):
    for name, service in inventory["services"].items():
        if service["protocol"] == "udp":
            wrong = [f"health.{scheme}" for scheme in ("http", "https") if scheme in service["health"]]
            for key in [*wrong, *(["tls"] if service.get("tls") else [])]:
                yield f"services.yaml: {name}.{key}: needs protocol: tcp"


def _reach(inventory):
    for name, service in inventory["services"].items():
        key, clients = f"services.yaml: {name}.clients", service["clients"]
        if service["network"] == "private" and WORLD in clients:
            yield f"{key}: world cannot reach the private network; name roles, or set network: public"
        if service["network"] == "public" and clients != [WORLD]:
            reason = "servers connect over the private network; say [world], or set network: private"
            yield f"{key}: {', '.join(clients)}: {reason}"


def _replacements(inventory):
    services = inventory["services"]
    for name, service in services.items():
        others = set(services) - {name}
        other = service.get("replaced_by")
        if other is not None and other not in others:
            reason = f"there is no other service '{other}'{hint(other, others)}"
            yield f"services.yaml: {name}.replaced_by: {reason}"


def _ports(inventory):
    clashes = {}
    for host in inventory["hosts"]:
        for (one, first), (other, second) in itertools.combinations(services_of(inventory, host).items(), 2):
            same = (first["protocol"], first["port"]) == (second["protocol"], second["port"])
            if same and not _told_apart(inventory, host, one, other):
                clashes.setdefault((one, other), []).append(host)
    for (one, other), hosts in clashes.items():
        first, second = inventory["services"][one], inventory["services"][other]
        port = f"{first['protocol']}/{first['port']}"
        remedy = _REMEDIES[first["network"]] if _one_address(first, second) and first["unit"] == WEB_UNIT else ""
        yield f"services.yaml: {other}.port: {port} is {one}'s on the same server ({', '.join(hosts)}){remedy}"


_REMEDIES = {
    "private": "; private web sites have the server's name only, so give one another port, or its role another server",
    "public": "; public web sites are told apart by their names there, so give both some",
}


def _told_apart(inventory, host, one, other):
    """Whether one unit can serve both on one port: it knows by the address, or by the name, which one is meant."""
    first, second = inventory["services"][one], inventory["services"][other]
    if not _one_address(first, second):
        return first["unit"] == second["unit"]
    return _named(inventory, host, one) and _named(inventory, host, other)


def _one_address(first, second):
    return first["unit"] == second["unit"] and first["network"] == second["network"]


def _named(inventory, host, name):
    """Whether a service is asked under names of its own on the server; by http they are those of its https."""
    service = inventory["services"][name]
    if service["network"] == "private":
        return False
    twin = inventory["services"].get(f"{name}s", service) if name.endswith("http") else service
    return service["role"] == REDIRECTS or bool(names_of(twin, environment_of(inventory, host)))


def _environments(inventory):
    known = environments(inventory)[1:]
    for name, service in inventory["services"].items():
        for environment in service.get("names_in", {}):
            key = f"services.yaml: {name}.names_in.{environment}"
            if environment not in known:
                yield f"{key}: no server is in environment '{environment}'{hint(environment, known)}"


def _slots(inventory):
    for name, service in inventory["services"].items():
        pool = service.get("slot_of")
        if pool is not None and not name.startswith(f"{pool}-"):
            yield f"services.yaml: {name}.slot_of: a slot of {pool} is named {pool}-<slot>, such as {pool}-blue"


def _ways_in(inventory):
    wrong = {}
    for host in inventory["hosts"]:
        offered = services_of(inventory, host).items()
        found = [name for name, service in offered if service["unit"] == SSH_UNIT]
        if len(found) != 1:
            wrong.setdefault(" and ".join(found) or "no service", []).append(host)
    for found, hosts in wrong.items():
        reason = f"{found} with unit {SSH_UNIT}, but a server needs exactly one way in"
        yield f"services.yaml: {', '.join(hosts)}: {reason}"


# Public names.


def _offered(inventory):
    """The services whose role somebody plays: what nobody offers has no name, and takes none."""
    return {name: one for name, one in inventory["services"].items() if one["role"] in played(inventory)}


def _all_named(inventory):
    """Every public name that somebody answers for: a list of (key, name)."""
    offered = _offered(inventory)
    named = [
        (f"services.yaml: {service}.names.{index}", name)
        for service, one in offered.items()
        for index, name in enumerate(one.get("names", []))
    ]
    named += [
        (f"services.yaml: {service}.names_in.{environment}.{index}", name)
        for service, one in offered.items()
        for environment, names in one.get("names_in", {}).items()
        for index, name in enumerate(names)
    ]
    redirects = enumerate(inventory["zones"]["redirects"])
    return [*named, *((f"zones.yaml: redirects.{index}.name", one["name"]) for index, one in redirects)]


def _names(inventory):
    taken, domain = {}, inventory["networks"]["private"]["domain"]
    for key, name in _all_named(inventory):
        if f".{name}".endswith(f".{domain}"):
            yield f"{key}: '{name}' is below networks.private.domain {domain}, which nobody outside can ask for"
        if name in taken:
            yield f"{key}: '{name}' is taken by {taken[name]}"
        taken.setdefault(name, key)


def _one_answer(inventory):
    """A name leads to one server: of two, each would order its certificate, and only one be asked for the proof."""
    public = {name: one for name, one in inventory["services"].items() if one["network"] == "public"}
    for name, service in public.items():
        for environment in environments(inventory):
            players = hosts_with(inventory, service["role"])
            servers = [one for one in players if environment_of(inventory, one) == environment]
            names = names_of(service, environment)
            if len(servers) > 1 and names and not service.get("shared"):
                reason = f"{', '.join(servers)} would all be {', '.join(names)}; let one play '{service['role']}'"
                yield f"services.yaml: {name}.names: {reason}, or say shared: true"


def _redirects(inventory):
    redirects, hosts = inventory["zones"]["redirects"], inventory["hosts"]
    served = {name for service in _offered(inventory).values() for name in all_names(service)}
    for index, redirect in enumerate(redirects):
        host = redirect["host"]
        if host not in hosts:
            yield f"zones.yaml: redirects.{index}.host: there is no server '{host}'{hint(host, hosts)}"
        elif REDIRECTS not in roles_of(inventory, host):
            yield f"zones.yaml: redirects.{index}.host: {host} does not play '{REDIRECTS}'"
        circle = _circle(redirect, redirects, served)
        if circle:
            yield f"zones.yaml: redirects.{index}.to: leads in a circle: {' -> '.join(circle)}"
    named = {redirect["host"] for redirect in redirects}
    for host in hosts_with(inventory, REDIRECTS):
        if host not in named:
            yield f"hosts.yaml: {host}.roles: plays '{REDIRECTS}', but no redirect of zones.yaml names it as its host"


def _circle(redirect, redirects, served):
    """The names that the redirect leads through if it never arrives; else nothing."""
    way = []
    while redirect:
        way.append(redirect["name"])
        if redirect["name"] in way[:-1]:
            return way
        redirect = _next(urllib.parse.urlsplit(redirect["to"]).hostname, redirects, served)
    return []


def _next(name, redirects, served):
    """The redirect that answers for ``name``, if any: its own, else the one with the longest wildcard."""
    if name in served:
        return None
    own = [one for one in redirects if one["name"] == name]
    wildcards = [one for one in redirects if one["name"][:2] == "*." and name.endswith(one["name"][1:])]
    return next(iter(own), None) or max(wildcards, key=lambda one: len(one["name"]), default=None)


# The states.


def _states(inventory, roles_dir):
    there = roles_with_states(roles_dir)
    for role in sorted(played(inventory) - there):
        where = "every server" if role == BASE else f"{hosts_with(inventory, role)[0]}.roles"
        reason = f"role '{role}' has no states in salt/role/{role}/init.sls{hint(role, there)}"
        yield f"hosts.yaml: {where}: {reason}"
    leaving = {path.parent.name for path in roles_dir.glob("*/absent.sls")}
    for name in inventory["hosts"]:
        for role in retired_on(inventory, name):
            if role not in leaving:
                reason = f"role '{role}' has no salt/role/{role}/absent.sls, which says what leaving it means"
                yield f"hosts.yaml: {name}.retired: {reason}{hint(role, leaving)}"
    known = known_roles(inventory, roles_dir)
    for path in sorted(roles_dir.glob("*/")):
        if path.name not in known:
            yield f"salt/role/{path.name}: has no init.sls, and no server has left it{hint(path.name, there)}"


def _known_roles(inventory, roles_dir):
    """Services may be of a role, and for one, that nobody plays any more, or yet; but there has to be such a role."""
    known = known_roles(inventory, roles_dir)
    for name, service in inventory["services"].items():
        if service["role"] not in known:
            yield f"services.yaml: {name}.role: {_no_role(service['role'], known)}"
        for client in service["clients"]:
            if client not in {*known, WORLD}:
                yield f"services.yaml: {name}.clients: {_no_role(client, {*known, WORLD})}"


def _no_role(role, known):
    return f"there is no role '{role}'{hint(role, known)}"


def _needed(inventory, roles_dir):
    """Whoever is a client of a service needs it, unless it is optional, or people at the gateway look at it."""
    known = known_roles(inventory, roles_dir)
    for name, service in inventory["services"].items():
        if service["role"] in known and not service.get("optional"):
            for clients, where in _without(inventory, service).items():
                reason = f"no server plays '{service['role']}' for {', '.join(clients)} of {', '.join(where)}"
                yield f"services.yaml: {name}.clients: {reason}; strike off who does without"


def _without(inventory, service):
    """{clients that nobody offers the service: [environments where it is so]}."""
    found = {}
    for environment in environments(inventory):
        playing = roles_in(inventory, environment)
        clients = tuple(role for role in service["clients"] if role in playing and role != GATEWAY)
        if clients and service["role"] not in providers(inventory, environment):
            found.setdefault(clients, []).append(environment)
    return found


RULES = (
    _regions,
    _candidates,
    _frozen,
    _retired,
    _addresses,
    _single_roles,
    _replicas,
    _left_halves,
    _left_databases,
    _previews,
    _reach,
    _protocols,
    _replacements,
    _ports,
    _environments,
    _slots,
    _ways_in,
    _names,
    _one_answer,
    _redirects,
)
RULES_OF_ROLES = (_states, _known_roles, _needed)
