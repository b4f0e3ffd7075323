"""The inventory: which servers there are, what they offer and to whom, and what follows from that."""

import difflib
import ipaddress
import pathlib

import insync_primaries
import yaml

FILES = ("networks", "hosts", "services", "zones")
BASE = "base"
WORLD = "world"
# The environment of servers that name none.
PRODUCTION = insync_primaries.PRODUCTION
BALANCER = "web_lb"
# What builds and publishes, and what runs integration tests only.
CI = ("ci", "ci_integration")
GATEWAY = "ssh_gateway"
MASTER = "salt_master"
# Who answers for the names of zones.yaml.
REDIRECTS = "redirects"
SSH_UNIT = "ssh.service"
# Who may have to replace the other is configured as the other is.
PRIMARY, REPLICA = insync_primaries.PRIMARY, insync_primaries.REPLICA


class InventoryError(ValueError):
    """The inventory cannot be read, or has no such server; the message names the file and the reason."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Refuses what YAML lets pass in silence: a key given twice (the last wins), and a key that is not a text."""

    def construct_mapping(self, node, deep=False):
        lines = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag != "tag:yaml.org,2002:str":
                raise _refusal(f"the key {key.value} is not a text; put it in quotes", key)
            if key.value in lines:
                raise _refusal(f"the key '{key.value}' is given twice, first on line {lines[key.value]}", key)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


def _refusal(reason, node):
    return yaml.constructor.ConstructorError(None, None, reason, node.start_mark)


def load(directory, primaries=None):
    """
    Read the inventory.

    directory (str or pathlib.Path): where hosts.yaml and the other files are.
    primaries (str or pathlib.Path): where it is kept which database was made the primary since, if not in
        insync_primaries.FILE of ct1.

    Returns a dict with the keys networks, hosts, services and zones, each what its file says, but for that.
    Raises InventoryError for a file that is missing, no YAML, or no mapping; what is in it is for ``problems``.
    """
    found = {name: read(directory, name) for name in FILES}
    try:
        kept = insync_primaries.read(primaries)
        return {**found, "hosts": insync_primaries.applied(found["hosts"], kept)} if kept else found
    except insync_primaries.PrimaryError as exc:
        raise InventoryError(str(exc)) from exc


def read(directory, name):
    """
    Return what the file ``name`` (str, one of FILES) in ``directory`` says, as a dict; raises as ``load`` does.
    """
    path = pathlib.Path(directory, f"{name}.yaml")
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a safe loader
    except OSError as exc:
        raise InventoryError(f"{path.name}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InventoryError(f"{path.name}: is not UTF-8: byte {exc.start}: {exc.reason}") from exc
    except yaml.YAMLError as exc:
        raise InventoryError(f"{path.name}: {_reason(exc)}") from exc
    if not isinstance(data, dict):
        raise InventoryError(f"{path.name}: is empty, or no mapping")
    return data


def _reason(exc):
    mark = getattr(exc, "problem_mark", None)
    return f"line {mark.line + 1}: {exc.problem}" if mark else " ".join(str(exc).split())


def problems(directory, roles_dir=None):
    """
    Check the inventory against its schema, then, if it has the right shape, against every other rule.

    directory (str or pathlib.Path): where its files and schema.json are.
    roles_dir (str or pathlib.Path): salt/role; given, every role must have states there, whether it is one that a
        server plays or one that a service names.

    Returns a list of str, one for each broken rule: file, key, reason and, where there is one, the nearest valid value.
    """
    import insync_inventory_rules  # here, because only checking needs jsonschema

    return insync_inventory_rules.problems(directory, roles_dir)


def hint(value, known):
    """Return "; did you mean 'web02'?" with what is most like ``value`` in ``known`` (iterable of str), or ""."""
    near = difflib.get_close_matches(str(value), sorted(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def roles_of(inventory, host):
    """
    Return the roles (list of str, ``base`` first) of ``host`` (str) in ``inventory`` (dict, from ``load``).

    Raises InventoryError naming an unknown host and the nearest known one.
    """
    hosts = inventory["hosts"]
    if host not in hosts:
        raise InventoryError(f"hosts.yaml: there is no server '{host}'{hint(host, hosts)}")
    return [BASE, *hosts[host]["roles"]]


def tuned_as(inventory, host):
    """Return the roles (list of str) whose tunables ``host`` (str) gets: its own, as a replica the primary's too."""
    roles = roles_of(inventory, host)
    return [PRIMARY, *roles] if REPLICA in roles else roles


def retired_on(inventory, host):
    """Return the roles (list of str) that ``host`` (str) has left; raises as ``roles_of`` does."""
    roles_of(inventory, host)
    return inventory["hosts"][host].get("retired", [])


def played(inventory):
    """Return the roles (set of str) that a server of ``inventory`` (dict) plays, ``base`` among them."""
    return {role for host in inventory["hosts"] for role in roles_of(inventory, host)}


def roles_with_states(roles_dir):
    """Return the roles (set of str) that have states in ``roles_dir`` (str or pathlib.Path, salt/role)."""
    return {path.parent.name for path in pathlib.Path(roles_dir).glob("*/init.sls")}


def known_roles(inventory, roles_dir):
    """
    Return the roles (set of str) that there are: those that a server of ``inventory`` (dict) plays or has left, and
    those of ``roles_dir`` (str or pathlib.Path, salt/role), which nobody needs to play.
    """
    left = {role for host in inventory["hosts"] for role in retired_on(inventory, host)}
    return played(inventory) | left | roles_with_states(roles_dir)


def hosts_with(inventory, role):
    """Return the servers (list of str, in the inventory's order) that play ``role`` (str)."""
    return [host for host in inventory["hosts"] if role in roles_of(inventory, host)]


def environment_of(inventory, host):
    """Return the environment (str) of ``host`` (str); raises as ``roles_of`` does."""
    roles_of(inventory, host)
    return inventory["hosts"][host].get("environment", PRODUCTION)


def environments(inventory):
    """Return the environments (list of str) that servers name, PRODUCTION first."""
    named = {environment_of(inventory, host) for host in inventory["hosts"]}
    return [PRODUCTION, *sorted(named - {PRODUCTION})]


def roles_in(inventory, environment):
    """Return the roles (list of str, sorted) that servers of ``environment`` (str) play."""
    hosts = [host for host in inventory["hosts"] if environment_of(inventory, host) == environment]
    return sorted({role for host in hosts for role in roles_of(inventory, host)})


def seen_from(inventory, environment):
    """
    Return the inventory as the servers of ``environment`` (str) see it.

    A role that one of them plays nobody else plays for them; what they do not have themselves, production has for them.
    """
    hosts = inventory["hosts"]
    own = {role for host in hosts if environment_of(inventory, host) == environment for role in hosts[host]["roles"]}

    def roles(host):
        if environment_of(inventory, host) == environment:
            return hosts[host]["roles"]
        shared = environment_of(inventory, host) == PRODUCTION
        return [role for role in hosts[host]["roles"] if shared and role not in own]

    return {**inventory, "hosts": {host: {**hosts[host], "roles": roles(host)} for host in hosts}}


def providers(inventory, environment):
    """Return {role: the environment (str) whose servers play it for ``environment`` (str)}."""
    found = dict.fromkeys(roles_in(inventory, PRODUCTION), PRODUCTION)
    return found | dict.fromkeys(roles_in(inventory, environment), environment)


def application(inventory, name):
    """Return (environment, application) of ``name`` (str): ``web`` is production's, ``staging-web`` another's."""
    for environment in environments(inventory)[1:]:
        if name.startswith(f"{environment}-"):
            return environment, name.removeprefix(f"{environment}-")
    return PRODUCTION, name


def application_name(environment, app):
    """Return what ``app`` (str) of ``environment`` (str) is called on the master, as ``application`` reads it."""
    return app if environment == PRODUCTION else f"{environment}-{app}"


def names_of(service, environment):
    """Return the public names (list of str) that ``service`` (dict) has in ``environment`` (str)."""
    if environment == PRODUCTION:
        return service.get("names", [])
    return service.get("names_in", {}).get(environment, [])


def all_names(service):
    """Return the public names (list of str) of ``service`` (dict) in all environments."""
    return [*service.get("names", []), *(name for names in service.get("names_in", {}).values() for name in names)]


def services_of(inventory, host):
    """Return what ``host`` (str) offers, as a dict name -> service; raises as ``roles_of`` does."""
    roles = roles_of(inventory, host)
    played = {name: one for name, one in inventory["services"].items() if one["role"] in roles}
    return {name: one for name, one in played.items() if one.get("replaced_by") not in played}


def allow(inventory, host):
    """
    Return what the firewall of ``host`` (str) lets in; raises as ``roles_of`` does.

    A list of dict: service, network, address (its own there), port, protocol, unit, and sources: the private addresses
    of the servers that may connect, sorted, or ``["world"]``.
    """
    own = inventory["hosts"].get(host)
    return [
        {
            "service": name,
            "network": service["network"],
            "address": own[service["network"]],
            "port": service["port"],
            "protocol": service["protocol"],
            "unit": service["unit"],
            "sources": _sources(inventory, host, service),
        }
        for name, service in services_of(inventory, host).items()
    ]


def refuse(inventory, host):
    """
    Return what ``host`` (str) must not reach: databases that were fenced, by a switch that they know nothing of.

    A list of dict: server, address, protocol, port.
    """
    hosts, roles, found = inventory["hosts"], set(roles_of(inventory, host)), {}
    parts = [one for one in inventory["services"].values() if one["role"] in (PRIMARY, REPLICA)]
    of = providers(inventory, environment_of(inventory, host)).get(PRIMARY)
    fenced = [name for name in hosts if hosts[name].get("fenced") and environment_of(inventory, name) == of]
    for name in fenced:
        for one in parts if name != host else ():
            if roles & set(one["clients"]):
                rule = {"server": name, "address": hosts[name][one["network"]], "protocol": one["protocol"]}
                found[name, one["port"]] = {**rule, "port": one["port"]}
    return list(found.values())


def _sources(inventory, host, service):
    clients = _clients(inventory, host, service)
    if clients == [WORLD]:
        return clients
    return sorted((inventory["hosts"][client]["private"] for client in clients), key=ipaddress.ip_address)


def _clients(inventory, host, service):
    """The servers that play one of the service's client roles and get it from ``host``; that may be one of them."""
    wanted = set(service["clients"])
    if WORLD in wanted:
        return [WORLD]
    clients = [client for client in inventory["hosts"] if wanted & set(roles_of(inventory, client))]
    # What every server offers, and the way into each, know no environments.
    if service["role"] == BASE or wanted & {BASE, GATEWAY}:
        return clients
    serves = {one: _serves(inventory, one, host, service["role"]) for one in environments(inventory)}
    return [client for client in clients if serves[environment_of(inventory, client)]]


def _serves(inventory, environment, host, role):
    """Whether ``host`` plays ``role`` for the servers of ``environment``."""
    if role not in roles_of(inventory, host):
        return False
    # A replica is for those whom its primary is for.
    of = providers(inventory, environment).get(PRIMARY if role == REPLICA else role)
    return of == environment_of(inventory, host)


def listeners(inventory, host):
    """Return the sorted list of (protocol, port) that ``host`` (str) listens on; raises as ``roles_of`` does."""
    offered = services_of(inventory, host).values()
    return sorted({(service["protocol"], service["port"]) for service in offered})


def slots(inventory, host):
    """
    Return the release slots of ``host`` (str), of which one serves at a time: ``{pool: {slot: port}}``.

    Raises as ``roles_of`` does.
    """
    pools = {}
    for name, service in services_of(inventory, host).items():
        if "slot_of" in service:
            pool = service["slot_of"]
            pools.setdefault(pool, {})[name.removeprefix(f"{pool}-")] = service["port"]
    return pools


def pools(inventory):
    """Return ``{pool: its servers}`` (dict of lists of str) of the applications that have release slots."""
    services = [service for service in inventory["services"].values() if "slot_of" in service]
    return {service["slot_of"]: hosts_with(inventory, service["role"]) for service in services}


def all_pools(inventory):
    """Return what ``pools`` does for every environment, each pool under its name on the master."""
    found = {}
    for environment in environments(inventory):
        own = {host for host in inventory["hosts"] if environment_of(inventory, host) == environment}
        for pool, servers in pools(seen_from(inventory, environment)).items():
            if environment == PRODUCTION or own & set(servers):
                found[application_name(environment, pool)] = servers
    return found


def endpoints(inventory):
    """
    Return where the private services are: ``{service: {"port": int, "health": dict, "hosts": {server: str}}}``.

    What every server offers (ssh) is not among them, nor what nobody does.
    """
    found = {}
    for name, service in inventory["services"].items():
        if service["network"] == "private" and service["role"] != BASE:
            servers = hosts_with(inventory, service["role"])
            names = {server: _peer(inventory, server)["fqdn"] for server in servers}
            found[name] = {"port": service["port"], "health": service["health"], "hosts": names}
    return {name: endpoint for name, endpoint in found.items() if endpoint["hosts"]}


def hosts_with_tls(inventory):
    """Return the servers (list of str) that offer a service with a certificate of the fleet's own CA."""
    return [
        host
        for host in inventory["hosts"]
        if any(service.get("tls") for service in services_of(inventory, host).values())
    ]


def waves(inventory):
    """
    Return the servers as a list of lists, each of servers that are clients only of those in the lists before it.

    Converged in this order a fleet comes up from nothing. Servers that are clients of each other share a list.
    """
    needs, found = _needs(inventory), []
    while needs:
        ready = [host for host, servers in needs.items() if not servers & needs.keys()] or list(needs)
        found.append(ready)
        needs = {host: servers for host, servers in needs.items() if host not in ready}
    return found


def with_needed(inventory, names):
    """Return ``names`` (list of str) and the servers whose clients they are, and theirs, in the inventory's order."""
    needs, found, waiting = _needs(inventory), set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs[name]
    return [name for name in inventory["hosts"] if name in found]


def _needs(inventory):
    """
    {server: set of the servers whose client it is}.

    What every server uses (ssh, Salt) does not count, nor what only people at the gateway look at.
    """
    needs = {host: set() for host in inventory["hosts"]}
    for client, server, name in flows(inventory):
        service = inventory["services"][name]
        of_all = service["role"] == BASE or BASE in service["clients"]
        if client != WORLD and not of_all and service["clients"] != [GATEWAY]:
            needs[client].add(server)
    return needs


def flows(inventory):
    """Return who may talk to whom: a list of (client server or ``world``, server, service), all str."""
    return [
        (client, server, name)
        for server in inventory["hosts"]
        for name, service in services_of(inventory, server).items()
        for client in _clients(inventory, server, service)
        if client != server
    ]


def slice_for(inventory, host):
    """
    Return the part of the inventory that ``host`` (str) is given as pillar; raises as ``roles_of`` does.

    A dict: host, roles, retired (what it has left), peers (every server, itself too), firewall, slots, pools,
    clients (of what it offers, by role, their private addresses), names (public, that it needs a certificate for),
    wildcard_names (the same, of one that is proven by DNS), public_names (of every service that has some; of the
    redirects its own), redirects (what it leads elsewhere), certificates (that it looks at), endpoints, health (of each
    service that it offers: where and how it is asked), sshd, salt.
    """
    roles = roles_of(inventory, host)
    peers = {name: _peer(inventory, name) for name in inventory["hosts"]}
    own = inventory["hosts"][host]
    master = hosts_with(inventory, MASTER)[0]
    environment = environment_of(inventory, host)
    seen = seen_from(inventory, environment)
    return {
        "host": {
            "name": host,
            "region": own["region"]["name"],
            **peers[host],
            **{key: own[key] for key in ("public", "lifecycle", "purpose")},
            "frozen": own.get("frozen", False),
        },
        "roles": roles,
        "retired": retired_on(inventory, host),
        "peers": peers,
        "firewall": {"allow": allow(inventory, host), "refuse": refuse(inventory, host)},
        "slots": slots(inventory, host),
        "pools": all_pools(inventory),
        "clients": _client_addresses(inventory, host),
        "names": _names(inventory, host),
        "wildcard_names": _wildcard_names(inventory, host),
        "public_names": _public_names(inventory, host),
        "redirects": redirects_of(inventory, host),
        "certificates": [one for one in certificates(inventory) if one["by"] == host],
        "endpoints": endpoints(seen),
        "health": _health(inventory, host),
        "sshd": {"port": _ssh_port(inventory, host), "permit_open": _permit_open(inventory, host)},
        "salt": {"master": master, "master_address": peers[master]["private"]},
    }


def _client_addresses(inventory, host):
    found = {}
    for service in services_of(inventory, host).values():
        clients = _clients(inventory, host, service)
        for role in sorted(set(service["clients"]) - {BASE, WORLD}):
            playing = {client for client in clients if role in roles_of(inventory, client)}
            found[role] = found.get(role, set()) | playing
    hosts = inventory["hosts"]
    return {role: [hosts[client]["private"] for client in hosts if client in found[role]] for role in sorted(found)}


def redirects_of(inventory, host):
    """
    Return what ``host`` (str) leads elsewhere; raises as ``roles_of`` does.

    A list of dict: name, or ``*.domain`` for every name below it, and to, a URL without a slash at its end.
    """
    if REDIRECTS not in roles_of(inventory, host):
        return []
    redirects = [one for one in inventory["zones"]["redirects"] if one["host"] == host]
    return [{"name": one["name"], "to": one["to"].rstrip("/")} for one in redirects]


def certificates(inventory):
    """
    Return which certificates the servers have to show, and who looks whether they do.

    A list of dict: server, service, network, address, port, name (under which it is asked), and by: the server that
    looks, which for a private service is one of its clients. Those of private services are from the fleet's own CA.
    """
    return [one for server in inventory["hosts"] for one in _certificates(inventory, server)]


def _certificates(inventory, server):
    found, names = [], _public_names(inventory, server)
    for name, service in services_of(inventory, server).items():
        asked, by = [], server
        if service.get("tls"):
            asked = [_peer(inventory, server)["fqdn"]]
            by = next((one for one in _clients(inventory, server, service) if one != server), server)
        elif service["network"] == "public" and service["unit"] != SSH_UNIT:
            asked = names.get(name, [])
        where = {"network": service["network"], "address": inventory["hosts"][server][service["network"]]}
        common = {"server": server, "service": name, **where, "port": service["port"], "by": by}
        found += [{**common, "name": one} for one in asked]
    return found


def _health(inventory, host):
    names = _public_names(inventory, host)
    found = {}
    for name, service in services_of(inventory, host).items():
        # A public site answers to its names only; a wildcard stands for any below it.
        public = names.get(name) or names.get(f"{name}s") or []
        asked = public[0].replace("*", "any") if public else _peer(inventory, host)["fqdn"]
        kept = {key: service[key] for key in ("port", "protocol", "unit", "health", "slot_of") if key in service}
        found[name] = {"address": inventory["hosts"][host][service["network"]], "name": asked, **kept}
    return found


def _names(inventory, host):
    offered = [service for service in services_of(inventory, host).values() if service["unit"] != SSH_UNIT]
    environment, covered = environment_of(inventory, host), set(_wildcard_names(inventory, host))
    led = {one["name"] for one in redirects_of(inventory, host)}
    led = {name for name in led if not {name, f"*.{name.partition('.')[2]}"} & covered}
    return sorted({name for service in offered for name in names_of(service, environment)} | led)


def _wildcard_names(inventory, host):
    """Of each wildcard the name itself and its domain, which the same DNS record proves."""
    wildcards = [one["name"] for one in redirects_of(inventory, host) if one["name"].startswith("*.")]
    return [name for wildcard in wildcards for name in (wildcard, wildcard[2:])]


def _public_names(inventory, host):
    environment = environment_of(inventory, host)
    provided, services = providers(inventory, environment), inventory["services"]
    found = {name: names_of(one, environment) for name, one in services.items() if one["role"] in provided}
    led = [one["name"] for one in redirects_of(inventory, host)]
    # As with other sites, those that show a certificate have the names.
    secure = [name for name, one in inventory["services"].items() if "http" not in one["health"]]
    found |= {name: led for name in secure if inventory["services"][name]["role"] == REDIRECTS}
    return {name: names for name, names in found.items() if names}


def _peer(inventory, host):
    domain = inventory["networks"]["private"]["domain"]
    return {"private": inventory["hosts"][host]["private"], "fqdn": f"{host}.{domain}"}


def _ssh_port(inventory, host):
    offered = services_of(inventory, host).values()
    return next(service["port"] for service in offered if service["unit"] == SSH_UNIT)


def _permit_open(inventory, host):
    """Where a gateway may lead: the ssh of every other server."""
    if GATEWAY not in roles_of(inventory, host):
        return []
    hosts = inventory["hosts"]
    return [f"{hosts[name]['private']}:{_ssh_port(inventory, name)}" for name in hosts if name != host]


def ssh_config(inventory, user=None, known_hosts=None):
    """
    Return an ssh_config (str) with which ``ssh web02`` works from outside, through the gateway.

    inventory (dict): as ``load`` returns it.
    user (str): the operator's name on the servers; without it, ssh takes the local one.
    known_hosts (str): the file with the servers' host keys, under their names; without it, ssh takes its own.
    """
    hosts, gateway = inventory["hosts"], hosts_with(inventory, GATEWAY)[0]
    lines = ["# Made from the inventory; `salt-run insync.ssh_config` prints it anew."]
    for name in [gateway, *(name for name in hosts if name != gateway)]:
        address = hosts[name]["public" if name == gateway else "private"]
        lines += [f"Host {name}", f"  HostName {address}", f"  Port {_ssh_port(inventory, name)}"]
        # Under its own name in known_hosts, whatever its address and port are.
        lines += [f"  HostKeyAlias {name}"]
        lines += [] if name == gateway else [f"  ProxyJump {gateway}"]
    lines += [f"Host {' '.join(hosts)}", "  StrictHostKeyChecking yes"]
    lines += [f"  User {user}"] if user else []
    lines += [f"  UserKnownHostsFile {known_hosts}"] if known_hosts else []
    return "\n".join(lines) + "\n"
