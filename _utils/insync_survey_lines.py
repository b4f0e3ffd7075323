"""What a survey found, as lines for people; and which of it nobody has declared."""

import ipaddress

# The sections in which somebody has to answer for everything; the others only tell.
ASKED = (
    "listeners",
    "sockets",
    "processes",
    "units",
    "services",
    "cron",
    "sites",
    "certificates",
    "databases",
    "virtualenvs",
    "conffiles",
    "sources",
    "folders",
    "users",
    "keys",
)
# What the row of a listener says that is a declared service, before the names of all that it serves.
_SERVICE = "service "


def unknown(found, servers=None):
    """
    Return a line (list of str) for everything that was found and that nobody answers for.

    found (dict): section -> rows.
    servers (dict): address -> name, for those who are connected.
    """
    rows = ((section, row) for section in ASKED for row in found[section])
    return [line(section, row, servers) for section, row in rows if not row["by"] and _counts(section, row)]


def _counts(section, row):
    # Where packages come from is strange only if it is told, and none of the distribution's.
    return section != "sources" or bool(row["origin"])


def rules_of(allow, listener):
    """
    Return the rules of ``allow`` (list of dict) for the port that ``listener`` (dict) waits at, whoever that is.

    Who listens on all addresses does so at each; a service of the same port at another address is another service.
    """
    everywhere = ipaddress.ip_address(listener["address"]).is_unspecified
    return [
        rule
        for rule in allow
        if (rule["protocol"], rule["port"]) == (listener["protocol"], listener["port"])
        and (everywhere or rule["address"] == listener["address"])
    ]


def served(allow, listener):
    """Return which services of ``allow`` it is that ``listener`` (dict) serves, as its ``by``; "" if it is none."""
    names = [rule["service"] for rule in rules_of(allow, listener) if rule["unit"] == listener["unit"]]
    return f"{_SERVICE}{', '.join(names)}" if names else ""


def is_served(listener):
    """Return whether ``listener`` (dict) was found to be a declared service."""
    return listener["by"].startswith(_SERVICE)


def missing(found, plan):
    """
    Return a line (list of str) for every port that is declared in ``plan`` and where its unit does not listen.

    Of the slots of a pool one has to.
    """
    declared = [row["by"].removeprefix(_SERVICE) for row in found["listeners"] if is_served(row)]
    names = {name for one in declared for name in one.split(", ")}
    pools = {f"{pool}-{slot}": pool for pool, slots in plan.get("slots", {}).items() for slot in slots}
    alive = {pools[service] for service in names if service in pools}
    return [
        f"{one['protocol']}/{one['port']} of {one['service']}: {one['unit']} does not listen"
        for one in plan.get("allow", ())
        if one["service"] not in names and pools.get(one["service"]) not in alive
    ]


def line(section, row, servers=None):
    """
    Return what ``row`` (dict) of ``section`` (str) says, as a line (str).

    servers (dict): address -> name, for those who are connected.
    """
    return f"{_NOUNS[section]} {_TEXTS[section](row)}{_peers(row, servers or {})}"


def size(number):
    """Return ``number`` (int) of bytes for people, such as ``2.4 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def _peers(row, servers):
    peers = [servers.get(address, address) for address in row.get("peers", {})]
    return f"; connected: {', '.join(peers)}" if peers else ""


def _listener(row):
    instead = f"; {row['instead_of']} is declared" if row.get("instead_of") else ""
    return f"{row['protocol']} {row['address']}:{row['port']}: {_process(row)}{instead}"


def _process(row):
    origin = f"unit {row['unit']}" if row["unit"] else "of no unit"
    package = f"package {row['package']}" if row["package"] else "of no package"
    gone = ", its program was removed" if row["deleted"] else ""
    return f"{row['process'] or 'an unknown process'} ({origin}, {package}, user {row['user']}{gone})"


def _unit(row):
    told = [row["kind"] if row["kind"] != "unit" else "", "runs" if row.get("runs") else ""]
    told += ["starts at boot" if row.get("enabled") else "", *row.get("commands", ())]
    return f"{row['path']}: {', '.join(filter(None, told))}".rstrip(": ")


def _cron(row):
    return f"{row['where']}: {row['line']}" + (f" (user {row['user']})" if row["user"] else "")


def _site(row):
    to = f", to {', '.join(row['upstream'])}" if row["upstream"] else f", root {row['root']}" if row["root"] else ""
    return f"{' '.join(row['names']) or 'without a name'} of {row['server']}, in {row['path']}{to}"


_NOUNS = {
    "listeners": "listener",
    "sockets": "socket",
    "processes": "process",
    "units": "unit",
    "cron": "cron",
    "sites": "site",
    "databases": "database",
    "virtualenvs": "virtualenv",
    "conffiles": "configuration",
    "sources": "apt source",
    "folders": "folder",
    "users": "user",
    "keys": "keys",
    "services": "service",
    "failed": "failed",
    "timers": "timer",
    "certificates": "certificate",
    "disks": "disk",
    "logins": "login",
}
_TEXTS = {
    "listeners": _listener,
    "sockets": lambda row: f"{row['path']}: {_process(row)}",
    "processes": lambda row: _process(row) + (f", since {row['since']}" if row["since"] else ""),
    "units": _unit,
    "cron": _cron,
    "sites": _site,
    "databases": lambda row: (
        f"{row['name']} of {row['engine']}, {size(row['bytes'])}" + (f", {row['path']}" if row["path"] else "")
    ),
    "virtualenvs": lambda row: f"{row['path']}: {len(row['packages'])} packages",
    "conffiles": lambda row: f"{row['path']} of {row['package']}: {row['change']}",
    "sources": lambda row: f"{row['url']} {row['suite']} of {row['origin'] or 'nobody knows whom'}, in {row['path']}",
    "folders": lambda row: f"{row['path']}: {size(row['bytes'])}",
    "users": lambda row: f"{row['user']}: uid {row['uid']}, {row['shell']}",
    "keys": lambda row: f"{row['path']}: {', '.join(row['keys'])}",
    "services": lambda row: ", ".join([row["unit"], *row.get("commands", ())]),
    "failed": lambda row: row["unit"],
    "timers": lambda row: f"{row['unit']}: starts {row['starts']}",
    "certificates": lambda row: f"{row['path']}: {' '.join(row['names']) or 'without a name'}, until {row['until']}",
    "disks": lambda row: f"{row['mount']}: {row['used']} % of {size(row['bytes'])}",
    "logins": lambda row: f"{row['user']} from {row['origin'] or 'here'}",
}
