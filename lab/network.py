"""The lab's networks: two that lead nowhere else, as droplets have, and one way out for the package cache."""

import ipaddress
import json
import socket

import insync_inventory

from lab import apt, shell
from lab.errors import LabError
from lab.paths import LABEL, PREFIX
from lab.podman import networks, podman

UPLINK = "uplink"


def collisions(subnets, used):
    """
    Return a line for each of our subnets that covers something that is used already.

    subnets (dict): name -> "10.132.0.0/16".
    used (list): (what, address or subnet) pairs.
    """
    found = []
    for name, subnet in subnets.items():
        ours = ipaddress.ip_network(subnet)
        for what, where in used:
            other = ipaddress.ip_network(where, strict=False)
            if other.version == ours.version and other.overlaps(ours):
                found.append(f"the lab's {name} network {subnet} covers {what} ({where})")
    return found


def check_free(subnets, sources):
    """
    Raise LabError if a subnet of the lab covers a route, a resolver, a mirror or another network of podman's.

    subnets (dict): name -> subnet.
    sources (list of apt.Source): where this machine gets packages from.
    """
    found = collisions(subnets, _routes() + _resolvers() + _mirrors(sources) + _foreign())
    if found:
        raise LabError(f"{found[0]}; choose another range in lab/lab.yaml and pillar/inventory, or free this one")


def create(subnets):
    """Make the networks that are not there; those inside have no way out and no DNS of podman's."""
    there = networks()
    for name, subnet in subnets.items():
        existing = there.get(PREFIX + name)
        if existing and subnet not in existing["subnets"]:
            raise LabError(f"network {PREFIX}{name} is {existing['subnets'][0]}, not {subnet}; 'make stop' removes it")
        if not existing:
            _create(name, "--internal", "--subnet", subnet)
    if PREFIX + UPLINK not in there:
        _create(UPLINK)


def dns_config(inventory, others, elsewhere=()):
    """
    Return the dnsmasq configuration of the public DNS: the services' names and the redirects, from the inventory.

    inventory (dict): as insync_inventory.load returns it.
    others (dict): further names and their addresses.
    elsewhere (iterable): (name, server as dnsmasq takes it) of what another name server is asked.
    """
    hosts, records = inventory["hosts"], []
    for server, host in hosts.items():
        environment = insync_inventory.environment_of(inventory, server)
        played = [one for one in inventory["services"].values() if one["role"] in ["base", *host["roles"]]]
        records += [(name, host["public"]) for one in played for name in insync_inventory.names_of(one, environment)]
    records += [(redirect["name"], hosts[redirect["host"]]["public"]) for redirect in inventory["zones"]["redirects"]]
    records += others.items()
    lines = ["# Made from the inventory by the lab.", "no-resolv", "no-hosts", "bind-dynamic"]
    lines += [f"server=/{name}/{server}" for name, server in elsewhere]
    return "\n".join([*lines, *map(_record, dict.fromkeys(records))]) + "\n"


def _record(record):
    name, address = record
    if name.startswith("*."):
        return f"address=/{name[2:]}/{address}"
    return f"host-record={name},{address}"


def _create(name, *options):
    podman("network", "create", "--label", f"{LABEL}=true", "--disable-dns", *options, PREFIX + name)


def _routes():
    ours = {network["bridge"] for network in networks().values() if network["ours"]}
    used = []
    for route in json.loads(shell.run(["ip", "-json", "route", "show"]).stdout):
        if route["dst"] != "default" and route.get("dev") not in ours:
            used.append((f"a route on {route.get('dev')}", route["dst"]))
        if "gateway" in route:
            used.append(("the gateway", route["gateway"]))
    return used


def _resolvers():
    with open("/etc/resolv.conf", encoding="utf-8") as file:
        words = [line.split() for line in file if line.startswith("nameserver")]
    return [("the resolver", address[1].split("%")[0]) for address in words if len(address) > 1]


def _mirrors(sources):
    used = []
    for name in apt.names(sources):
        try:
            found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
        except OSError:
            continue
        used += [(f"the package mirror {name}", entry[4][0].split("%")[0]) for entry in found]
    return used


def _foreign():
    there = networks().items()
    return [
        (f"podman's network {name}", subnet)
        for name, entry in there
        if not entry["ours"]
        for subnet in entry["subnets"]
    ]
