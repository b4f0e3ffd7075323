"""Which server is the primary of a database since the last switch, as ct1 keeps it: it goes before hosts.yaml."""

import json
import pathlib

import insync_files

# On ct1, whose master renders every server's pillar by it. The checkout is code, and the same everywhere.
FOLDER = pathlib.Path("/var/lib/insync/primaries")
FILE = FOLDER / "primaries.json"
# Of insync_inventory, which reads this.
PRIMARY, REPLICA, PRODUCTION = "mysql_primary", "mysql_replica", "production"


class PrimaryError(ValueError):
    """What is kept cannot be read, or names a server that cannot be the primary; the message says which."""


def read(file=None):
    """
    Return ``{environment: {"primary": server, "fenced": [servers], ...}}`` (dict), {} if there was no switch.

    file (str or pathlib.Path): FILE if left out. Raises PrimaryError if it is there and cannot be read.
    """
    file = file or FILE
    try:
        text = pathlib.Path(file).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise PrimaryError(f"{file}: cannot be read: {exc.strerror}") from exc
    try:
        found = json.loads(text)
        good = all(isinstance(one["primary"], str) and isinstance(one["fenced"], list) for one in found.values())
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PrimaryError(f"{file}: it is damaged; put back what {FOLDER}/history.jsonl tells") from exc
    if not good:
        raise PrimaryError(f"{file}: it is damaged; put back what {FOLDER}/history.jsonl tells")
    return found


def write(environment, primary, fenced=(), file=None, **facts):
    """
    Keep that ``primary`` (str) is the primary of ``environment`` (str) from now on.

    fenced (iterable of str): servers that nobody may reach as a database. facts: what else is worth knowing.
    Raises OSError, or PrimaryError; what was kept stays then.
    """
    file = file or FILE
    one = {"primary": primary, "fenced": sorted(fenced), **facts}
    insync_files.replace(file, json.dumps({**read(file), environment: one}, indent=2) + "\n")


def applied(hosts, kept):
    """
    Return ``hosts`` (dict, as hosts.yaml has them) with the roles that they play since the last switches.

    kept (dict): as ``read`` returns it. A fenced server has ``fenced: True``.
    Raises PrimaryError if the server that is kept as the primary plays neither part in hosts.yaml.
    """
    for environment, one in kept.items():
        own = [name for name, host in hosts.items() if host.get("environment", PRODUCTION) == environment]
        if one["primary"] not in own or not {PRIMARY, REPLICA} & set(hosts[one["primary"]]["roles"]):
            reason = f"{one['primary']} is the primary of {environment} since the last switch ({FILE})"
            raise PrimaryError(f"{reason}, but hosts.yaml gives it neither {PRIMARY} nor {REPLICA}")
        hosts = {**hosts, **{name: _plays(name, hosts[name], one) for name in own}}
    return hosts


def _plays(name, host, one):
    """The entry of a server, with the part that it has now."""
    part = PRIMARY if name == one["primary"] else REPLICA
    roles = [part if role in (PRIMARY, REPLICA) else role for role in host["roles"]]
    return {**host, "roles": roles, **({"fenced": True} if name in one["fenced"] else {})}
