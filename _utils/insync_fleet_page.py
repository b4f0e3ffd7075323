"""The pages that show the fleet: docs/fleet.md with its pictures and docs/roles/, generated from the inventory."""

import collections
import pathlib
import sys

import insync_fleet_picture
import insync_inventory
import insync_reachability
import insync_role_pages

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE, PICTURE, MATRIX = "fleet.md", "fleet.svg", "reachability.svg"
# The pictures, and the part of the inventory that each shows.
PICTURES = {
    PICTURE: lambda inventory: inventory,
    "web.svg": lambda inventory: insync_fleet_picture.way(
        insync_inventory.seen_from(inventory, insync_inventory.PRODUCTION), "web_lb"
    ),
}
HEAD = "<!-- Generated from pillar/inventory by `make docs`; edit the inventory, not this page. -->"


def page(inventory):
    """Return the page of ``inventory`` (dict, from insync_inventory.load) as a str of Markdown."""
    parts = [HEAD, "# The fleet", _summary(inventory), f"![Servers by tier, and who may talk to whom]({PICTURE})"]
    parts += ["## Servers", *_servers(inventory)]
    parts += ["## Services", _services(inventory)]
    parts += ["## Who may talk to whom", "No server lets in any other connection.", _flows(inventory)]
    parts += [f"![Each who asks, each who answers, and the ports that are open]({MATRIX})"]
    parts += ["## Redirects", *_redirects(inventory)]
    parts += ["## Candidates for removal or merging", _candidates(inventory)]
    return "\n\n".join(parts) + "\n"


def _table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text):
    return " ".join(str(text).split()).replace("|", "\\|")


def _code(names):
    return ", ".join(f"`{name}`" for name in names)


def _guess(value, source):
    return f"{value} (guess)" if source == "guess" else value


def _summary(inventory):
    hosts = inventory["hosts"].values()
    regions = collections.Counter(host["region"]["name"] for host in hosts)
    guesses = sum(host["region"]["source"] == "guess" for host in hosts)
    candidates = sum(host["lifecycle"] == "candidate" for host in hosts)
    where = ", ".join(f"{regions[name]} in {name}" for name in inventory["networks"]["regions"])
    return (
        f"{len(hosts)} servers: {len(hosts) - candidates} active, {candidates} candidates for removal or merging. "
        f"{where}; {guesses} of these regions are guesses. {len(inventory['services'])} services, "
        f"{len(inventory['zones']['redirects'])} redirects."
    )


def _servers(inventory):
    columns = ["server", "region", "private", "public", "roles", "lifecycle", "purpose", "owner"]
    for tier in insync_fleet_picture.tiers(inventory):
        yield f"### Tier {tier}"
        yield _table(columns, [_server(inventory, name) for name in insync_fleet_picture.members(inventory, tier)])


def _server(inventory, name):
    host = inventory["hosts"][name]
    return [
        f"`{name}`",
        _guess(host["region"]["name"], host["region"]["source"]),
        host["private"],
        host["public"],
        _code(insync_inventory.roles_of(inventory, name)),
        host["lifecycle"],
        host["purpose"],
        host["owner"],
    ]


def _services(inventory):
    columns = ["service", "port", "network", "offered by", "who may connect", "unit", "health check", "names"]
    return _table(columns, [_service(inventory, name) for name in inventory["services"]])


def _service(inventory, name):
    service = inventory["services"][name]
    return [
        f"`{name}`",
        f"{service['protocol']}/{service['port']}",
        service["network"],
        _offered_by(inventory, name),
        ", ".join(client if client == insync_inventory.WORLD else f"`{client}`" for client in service["clients"]),
        f"`{service['unit']}`",
        _health(service["health"]),
        _code(insync_inventory.all_names(service)),
    ]


def _offered_by(inventory, name):
    hosts = [host for host in inventory["hosts"] if name in insync_inventory.services_of(inventory, host)]
    role = inventory["services"][name]["role"]
    return (_code(hosts) or "nobody") if len(hosts) < 5 else f"`{role}`: {len(hosts)} servers"


def _health(health):
    if "banner" in health:
        return f"says `{health['banner']}`"
    for scheme in {"http", "https"} & set(health):
        return f"`GET {health[scheme]['path']}` answers {health[scheme]['status']}"
    return "accepts a connection"


def _flows(inventory):
    ports = inventory["services"]
    rows = [
        [_end(client), _end(server), ", ".join(f"`{name}` {ports[name]['port']}" for name in services)]
        for (client, server), services in insync_fleet_picture.arrows(inventory).items()
    ]
    return _table(["from", "to", "services"], rows)


def _end(end):
    kind, name = end
    return {"host": f"`{name}`", "tier": f"every server of tier {name}"}.get(kind, name)


def _redirects(inventory):
    redirects = inventory["zones"]["redirects"]
    yield _table(
        ["name", "leads to", "answered by"],
        [[f"`{one['name']}`", _guess(one["to"], one["target_source"]), f"`{one['host']}`"] for one in redirects],
    )
    silent = sorted({one["host"] for one in redirects if not _serves_web(inventory, one["host"])})
    if silent:
        yield f"Declared, but not served yet: no service of {_code(silent)} offers port 80 or 443 to the world."


def _serves_web(inventory, host):
    offered = insync_inventory.services_of(inventory, host).values()
    return any(service["network"] == "public" and service["port"] in (80, 443) for service in offered)


def _candidates(inventory):
    rows = [
        [f"`{name}`", host["candidate"]["for"], host["candidate"]["reason"], host["candidate"]["waits_for"]]
        for name, host in inventory["hosts"].items()
        if "candidate" in host
    ]
    return _table(["server", "for", "reason", "waits for"], rows)


def write(inventory_dir, docs_dir):
    """
    Write the page, the pictures and the end of each role's page.

    inventory_dir, docs_dir (str or pathlib.Path): where the inventory is, and the existing folder to write to.
    Raises insync_inventory.InventoryError for an inventory that cannot be read, RuntimeError if dot cannot draw.
    """
    inventory = insync_inventory.load(inventory_dir)
    pictures = {name: insync_fleet_picture.svg(_dot(inventory, name)) for name in PICTURES}
    texts = {pathlib.Path(docs_dir, name): text for name, text in {**pages(inventory), **pictures}.items()}
    for path, text in {**texts, **insync_role_pages.pages(inventory_dir, docs_dir)}.items():
        path.write_text(text, encoding="utf-8")


def pages(inventory):
    """Return what is written of ``inventory`` (dict), but for the pictures that Graphviz draws: name -> text."""
    return {PAGE: page(inventory), MATRIX: insync_reachability.svg(inventory)}


def stale(inventory_dir, docs_dir):
    """
    Return a line (str) for each page and picture that does not show the inventory as it is now.

    inventory_dir, docs_dir (str or pathlib.Path): as for ``write``.
    A picture is judged by the source that it was drawn from: versions of Graphviz draw the same source differently.
    Raises insync_inventory.InventoryError for an inventory that cannot be read.
    """
    inventory = insync_inventory.load(inventory_dir)
    fresh = {name: _text(docs_dir, name) == text for name, text in pages(inventory).items()}
    for name in PICTURES:
        drawn_from = insync_fleet_picture.drawn_from(_text(docs_dir, name))
        fresh[name] = drawn_from == insync_fleet_picture.digest(_dot(inventory, name))
    for path, text in insync_role_pages.pages(inventory_dir, docs_dir).items():
        fresh[str(path.relative_to(docs_dir))] = path.read_text(encoding="utf-8") == text
    return [f"docs/{name} is not what the inventory says now; run `make docs`" for name in fresh if not fresh[name]]


def _dot(inventory, name):
    return insync_fleet_picture.dot(PICTURES[name](inventory))


def _text(directory, name):
    path = pathlib.Path(directory, name)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main(arguments):
    """Run the command ``write`` or ``check`` of ``arguments`` (list of str) on this checkout; return the exit code."""
    if arguments not in (["write"], ["check"]):
        print("usage: insync_fleet_page.py write|check", file=sys.stderr)
        return 2
    inventory_dir, docs_dir = ROOT / "pillar" / "inventory", ROOT / "docs"
    wrong = insync_inventory.problems(inventory_dir)
    if not wrong and arguments == ["check"]:
        wrong = stale(inventory_dir, docs_dir)
    elif not wrong:
        try:
            write(inventory_dir, docs_dir)
        except (RuntimeError, OSError) as exc:
            wrong = [str(exc)]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
