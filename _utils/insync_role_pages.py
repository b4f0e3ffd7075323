"""The end of each page in docs/roles/: what the inventory and the pillar say of the role."""

import pathlib
import re

import insync_data_declared
import insync_inventory
import insync_site

FOLDER = "roles"
MARK = "<!-- Generated from pillar/ by `make docs`; everything below is overwritten. -->"
HEADING = "## Declared"


def pages(inventory_dir, docs_dir):
    """
    Return what the pages that are there have to say: a dict, path (pathlib.Path) -> text.

    inventory_dir, docs_dir (str or pathlib.Path): where the inventory is, in the pillar, and the pages' folder.
    Raises insync_inventory.InventoryError for an inventory that cannot be read.
    """
    inventory = insync_inventory.load(inventory_dir)
    found = {}
    for path in sorted(pathlib.Path(docs_dir, FOLDER).glob("*.md")):
        own = path.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")[0].rstrip("\n")
        found[path] = (
            f"{own}\n\n{HEADING}\n\n{MARK}\n\n{declared(inventory, pathlib.Path(inventory_dir).parent, path.stem)}"
        )
    return found


def declared(inventory, pillar, role):
    """
    Return what is declared of ``role`` (str), as a str of Markdown: servers, services, what it uses, secrets, tunables.

    inventory (dict): from insync_inventory.load. pillar (pathlib.Path): the folder with role/ and secrets/.
    """
    services = inventory["services"]
    own = {name: service for name, service in services.items() if service["role"] == role}
    used = [name for name, service in services.items() if role in service["clients"] and service["role"] != role]
    left = [host for host in inventory["hosts"] if role in insync_inventory.retired_on(inventory, host)]
    secrets = _yaml(pillar / "secrets" / "required.yaml").get(role, {})
    tunables = _yaml(pillar / "role" / f"{role}.sls")
    rows = [
        ("servers", _players(inventory, role)),
        ("has left", _code(left)),
        *((f"`{name}`", _service(service)) for name, service in own.items()),
        ("is a client of", _code(used)),
        *((f"secret `{key}`", what) for key, what in secrets.items()),
        *((f"backup `{kind}`", _data(what)) for kind, what in tunables.get("backup", {}).items()),
        ("tunables", f"{_code(tunables)} in `pillar/role/{role}.sls`" if tunables else ""),
    ]
    lines = [f"| {name} | {_cell(text)} |" for name, text in rows if text]
    return "\n".join(["| | |", "|---|---|", *lines]) + "\n"


def _players(inventory, role):
    hosts = insync_inventory.hosts_with(inventory, role)
    return "every server" if role == insync_inventory.BASE else _code(hosts) or "none"


def _service(service):
    clients = [one if one == insync_inventory.WORLD else f"`{one}`" for one in service["clients"]]
    names = [f"`{name}`" for name in insync_inventory.all_names(service)]
    where = f"{service['protocol']}/{service['port']} of `{service['unit']}`, {service['network']}"
    return f"{where}, for {', '.join(clients)}" + (f"; {', '.join(names)}" if names else "")


def _data(what):
    if "none" in what:
        return f"none: {what['none']}"
    found = {name: [what[name]] if isinstance(what[name], str) else what[name] for name in what}
    texts = [f"{name} {_code(found[name])}" for name in insync_data_declared.ENGINES if name in found]
    return ", ".join(texts) + (f"; without {_code(found['exclude'])}" if "exclude" in found else "")


def _code(names):
    return ", ".join(f"`{name}`" for name in names)


def _cell(text):
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|")


def _yaml(path):
    return (insync_site.parsed(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
