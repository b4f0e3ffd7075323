"""The picture of the fleet: servers by tier, and arrows for who may talk to whom, drawn by Graphviz."""

import hashlib
import html
import itertools
import re
import subprocess

import insync_inventory

FLEET = ("fleet", "every other server")
FILLS = {
    "edge": "#fff3d6",
    "web": "#e3f1e1",
    "queue": "#e0eefb",
    "data": "#e7e4f6",
    "tools": "#e2f3f2",
    "test": "#f7e6ef",
    "unknown": "#eeeeee",
}
ABROAD = '[shape=ellipse style=filled width=1 fillcolor="#dddddd"]'
OUTSIDE = {
    ("world", "world"): f'  "world" {ABROAD}',
    FLEET: f'  "{FLEET[1]}" [fillcolor="#f7f7f7" width=9 height=0.35]',
}
# What servers of a role ask on the internet, where a way ends.
BEYOND = {"web_lb": "ACME authority", "mailer": "mail relay", "pypi_server": "public index"}
ARROWS = ("#1f5fa8", "#a8431f", "#2c7a36", "#6b3fa0", "#8a6d00", "#00707a")
MARK = "sha256 of the DOT source: "
HEAD = """digraph fleet {
  graph [rankdir=TB compound=true newrank=true ranksep=0.35 nodesep=0.25 pad=0.3 bgcolor=white]
  graph [fontname="Helvetica,Arial,sans-serif" fontsize=12 tooltip="The fleet"]
  node [fontname="Helvetica,Arial,sans-serif" fontsize=11 shape=box style="rounded,filled" width=1.6]
  node [fillcolor=white color="#555555"]
  edge [fontname="Helvetica,Arial,sans-serif" fontsize=10 arrowsize=0.7 penwidth=1.4]"""


def arrows(inventory):
    """
    Return the flows of ``inventory`` (dict), with those that whole groups share taken together.

    A dict (from, to) -> list of services (str). An end is ("host", name), ("world", "world"), ("tier", name) where all
    of a tier do the same, or FLEET where all other servers do.
    """
    drawn, flows = {}, insync_inventory.flows(inventory)
    for service in inventory["services"]:
        pairs = [flow[:2] for flow in flows if flow[2] == service]
        for arrow in _together(inventory, pairs):
            drawn.setdefault(arrow, []).append(service)
    return drawn


def way(inventory, role):
    """
    Return ``inventory`` (dict) cut down to the way behind ``role`` (str): its servers and all that they need, with what
    they offer each other and the world, and whom they ask there. What every server offers or uses is left out.
    """
    names = insync_inventory.with_needed(inventory, insync_inventory.hosts_with(inventory, role))
    hosts = {name: inventory["hosts"][name] for name in names}
    common = {insync_inventory.BASE, insync_inventory.MASTER, insync_inventory.GATEWAY}
    services = {name: service for name, service in inventory["services"].items() if service["role"] not in common}
    beyond = {name: BEYOND[role] for name, host in hosts.items() for role in host["roles"] if role in BEYOND}
    return {**inventory, "hosts": hosts, "services": services, "beyond": beyond}


def _together(inventory, pairs):
    """Take the clients of each server together, then the servers that the same clients talk to."""
    servers = {}
    for server in dict.fromkeys(server for _, server in pairs):
        for client in _groups(inventory, [one for one, other in pairs if other == server], server):
            servers.setdefault(client, []).append(server)
    return [(client, server) for client, names in servers.items() for server in _groups(inventory, names, client[1])]


def _groups(inventory, names, other):
    """Say ``names`` (list of str) with as few ends as possible; ``other`` is at the other end of the arrow."""
    hosts = inventory["hosts"]
    if len(names) > 1 and {*names, other} >= set(hosts):
        return [FLEET]
    ends = [_end(hosts, name, names, other) for name in names]
    return list(dict.fromkeys(ends))


def _end(hosts, name, names, other):
    if name == insync_inventory.WORLD:
        return ("world", name)
    tier = hosts[name]["tier"]
    members = {one for one, host in hosts.items() if host["tier"] == tier}
    # An arrow from a frame to something inside it cannot be read.
    whole = len(members) > 1 and members <= set(names) and other not in {*members, tier}
    return ("tier", tier) if whole else ("host", name)


def dot(inventory):
    """Return the picture of ``inventory`` (dict) in Graphviz's language, as a str."""
    drawn = arrows(inventory)
    ends = {end for arrow in drawn for end in arrow}
    lines = [HEAD]
    lines += [OUTSIDE[end] for end in OUTSIDE if end in ends]
    for tier in tiers(inventory):
        lines += _frame(inventory, tier)
    lines += _rows(inventory, FLEET[1] if FLEET in ends else "")
    colours = dict(zip(inventory["services"], itertools.cycle(ARROWS), strict=False))
    for arrow, services in drawn.items():
        # Of two arrows between the same ends, one is written the other way round: so their labels stand side by side.
        back = arrow[::-1] in list(drawn)[: list(drawn).index(arrow)]
        lines.append(_arrow(inventory, arrow, services, colours[services[0]], back))
    for name, where in inventory.get("beyond", {}).items():
        lines.append(f'  "{where}" {ABROAD}')
        lines.append(f'  "{name}" -> "{where}" [color="#777777"]')
    return "\n".join([*lines, "}"]) + "\n"


def tiers(inventory):
    """Return the tiers (list of str) that servers of ``inventory`` (dict) are in, from the outside in."""
    used = {host["tier"] for host in inventory["hosts"].values()}
    return [tier for tier in FILLS if tier in used]


def members(inventory, tier):
    """Return the servers (list of str) of ``tier`` (str), in the inventory's order."""
    return [name for name, host in inventory["hosts"].items() if host["tier"] == tier]


def _frame(inventory, tier):
    lines = [f'  subgraph "cluster_{tier}" {{']
    lines += [f'    label=<<b>{tier}</b>> style="rounded,filled" color="#bbbbbb" fillcolor="{FILLS[tier]}"']
    lines += [_node(name, inventory["hosts"][name]) for name in members(inventory, tier)]
    return [*lines, "  }"]


def _node(name, host):
    lines = [f"<b>{name}</b>", f'<font point-size="9" color="#444444">{host["private"]}</font>']
    style = ""
    if "candidate" in host:
        mark = f"candidate: {host['candidate']['for']}"
        lines.append(f'<font point-size="9" color="#b00020"><i>{html.escape(mark)}</i></font>')
        style = ' style="rounded,filled,dashed" color="#b00020" penwidth=1.6'
    tooltip = html.escape(host["purpose"]).replace("\\", "\\\\")
    return f'    "{name}" [label=<{"<br/>".join(lines)}>{style} tooltip="{tooltip}"]'


def _rows(inventory, between):
    """The first tier is a row on top, ``between`` (a node, or none) follows; below it, each other tier is a column."""
    top, *columns = (members(inventory, tier) for tier in tiers(inventory))
    yield f"  {{rank=same {' '.join(map(_quoted, top))}}}"
    for names in columns:
        for one, other in itertools.pairwise([between or top[0], *names]):
            yield f'  "{one}" -> "{other}" [style=invis]'


def _quoted(name):
    return f'"{name}"'


def _arrow(inventory, arrow, services, colour, back):
    ports = inventory["services"]
    label = "\\l".join(f" {name} {ports[name]['port']}" for name in services) + "\\l"
    options = [f'label="{label}" color="{colour}" fontcolor="{colour}"', *(["dir=back"] if back else [])]
    tail, head = arrow[::-1] if back else arrow
    options += [f'ltail="cluster_{tail[1]}"'] if tail[0] == "tier" else []
    options += [f'lhead="cluster_{head[1]}"'] if head[0] == "tier" else []
    return f'  "{_anchor(inventory, tail)}" -> "{_anchor(inventory, head)}" [{" ".join(options)}]'


def _anchor(inventory, end):
    kind, name = end
    return members(inventory, name)[0] if kind == "tier" else name


def svg(source):
    """
    Return ``source`` (str, from ``dot``) drawn as SVG, with a comment that says which source it was drawn from.

    Raises RuntimeError with what the program says, or that it is not installed.
    """
    try:
        done = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise RuntimeError("the program dot is missing; install the package graphviz") from exc
    if done.returncode != 0:
        raise RuntimeError(f"dot: {done.stderr.strip()}")
    # Graphviz names its version in a comment; ours takes its place, so that the drawing says what it was made from.
    return re.sub(r"<!-- Generated by.*?-->", f"<!-- {MARK}{digest(source)} -->", done.stdout, count=1, flags=re.S)


def digest(source):
    """Return the SHA-256 of ``source`` (str), in hex."""
    return hashlib.sha256(source.encode()).hexdigest()


def drawn_from(picture):
    """Return the digest of the source that ``picture`` (str, from ``svg``) was drawn from, or ""."""
    found = re.search(rf"<!-- {MARK}([0-9a-f]{{64}}) -->", picture)
    return found[1] if found else ""
