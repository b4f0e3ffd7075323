"""Who listens on a server, and who is connected to that now; from /proc alone."""

import collections
import ipaddress
import os
import pathlib
import pwd
import re
import struct
import time

import insync_survey_lines
import insync_survey_mask
import insync_survey_units

_LISTEN, _ESTABLISHED = "0A", "01"
_KINDS = {"tcp": _LISTEN, "tcp6": _LISTEN, "udp": "07", "udp6": "07"}
PEERS = 20
# Its process may end while it is asked about: then it is looked for again, so often.
_LOOKS = 3
# Whose units are made for the programs of other packages: how these are called begins so.
_STARTS = {"postgresql-common": "postgresql-"}
# What waits at a path: flags of the kernel's table, and where it says so.
_ACCEPTS = 0x10000
_PATH = re.compile(r"[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} +(\d+) ([^@].*)")
# Their sockets are for whoever started them, by ssh or for a moment in a job.
_OF_PEOPLE = {
    "dbus-daemon",
    "dirmngr",
    "gnupg-agent",
    "gpg-agent",
    "keyboxd",
    "openssh-client",
    "openssh-server",
    "scdaemon",
}
_SYSTEMD = "init.scope"


def listeners(system):
    """
    Return every socket of ``system`` (insync_survey_system.System) that waits for somebody.

    A list of dict: protocol, address, port, process (without what might be a secret), script (that it runs), user,
    unit, package, deleted (its program was removed since), peers (who is connected: address -> number of connections),
    by.
    """
    if not system.live:
        return []
    (waiting, connected), processes = _looked(system, _sockets, lambda found: found[0])
    found, sockets = [], _of_systemd(system)
    for row, process in zip(waiting, processes, strict=True):
        # Until somebody comes systemd itself waits, for a unit that says so.
        if process["unit"] == _SYSTEMD:
            process["unit"] = sockets.get((row["address"], row["port"]), process["unit"])
        peers = connected[row["protocol"], row["port"]]
        shown = {key: row[key] for key in ("protocol", "address", "port")}
        found.append({**shown, **process, "peers": dict(peers.most_common(PEERS)), **_declared(system, row, process)})
    # Processes that share a port, and sockets of one process for both families, are one thing to ask about.
    unique = {(one["protocol"], one["address"], one["port"], one["unit"]): one for one in found}
    return sorted(unique.values(), key=lambda one: (one["port"], one["protocol"], one["address"]))


def paths(system):
    """
    Return every socket of ``system`` that waits at a path for somebody of the same server.

    A list of dict: path, process, script, user, unit, package, deleted (as ``listeners`` has them), by. Who is
    connected the kernel does not say there. What systemd and people have for themselves is passed over.
    """
    if not system.live:
        return []
    waiting, processes = _looked(system, _unix, lambda found: found)
    found, sockets = [], _of_systemd(system)
    for row, process in zip(waiting, processes, strict=True):
        if process["unit"] == _SYSTEMD:
            process["unit"] = sockets.get((row["path"], 0), process["unit"])
        if not is_passed_over(process):
            by = _own(system, process) if process["unit"] else ""
            found.append({"path": row["path"], **process, "by": by})
    unique = {(one["path"], one["unit"]): one for one in found}
    return sorted(unique.values(), key=lambda one: one["path"])


def _unix():
    """What waits at a path; that of a program that did not say the whole one is what it said."""
    try:
        lines = pathlib.Path("/proc/net/unix").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = [match for match in map(_PATH.fullmatch, lines) if match and int(match[1], 16) & _ACCEPTS]
    return [{"path": match[3], "inode": match[2]} for match in found]


def is_passed_over(process):
    """Return whether ``process`` (dict) is systemd, for nobody's unit, or something that people have for themselves."""
    is_systemd = process["unit"] == _SYSTEMD and process["package"] == "systemd"
    return is_systemd or process["package"] in _OF_PEOPLE


def _looked(system, look, waiting_of):
    """(What ``look`` finds, the process of each row that waits): looked for again if a process ended meanwhile."""
    for number in range(_LOOKS):
        time.sleep(0.2 * number)
        found = look()
        waiting = waiting_of(found)
        pids = _processes({row["inode"] for row in waiting})
        processes = [process(system, pids.get(row["inode"])) for row in waiting]
        if all(one["process"] for one in processes):
            break
    system.waiting |= set(pids.values())
    return found, processes


def _of_systemd(system):
    """{(address, port), or (path, 0): the unit, of the kind socket, for which systemd waits there}."""
    shown = system.run("systemctl", "list-sockets", "--plain", "--no-legend", "--full")
    found = {}
    for listen, unit, *_ in filter(None, map(str.split, shown.splitlines())):
        address, _, port = listen.rpartition(":")
        if port.isdigit() and not listen.startswith("/"):
            found[address.strip("[]"), int(port)] = unit
        else:
            found[listen, 0] = unit
    return found


def _sockets():
    """([what waits], {(protocol, port): Counter of the addresses that are connected to it})."""
    waiting, connected = [], collections.defaultdict(collections.Counter)
    for table, wanted in _KINDS.items():
        for line in _table(table):
            local, remote, state, inode = line[1], line[2], line[3], line[9]
            protocol = table.removesuffix("6")
            address, port = _end(local)
            if state == wanted and _end(remote)[1] == 0:
                waiting.append({"protocol": protocol, "address": address, "port": port, "inode": inode})
            elif state == _ESTABLISHED:
                connected[protocol, port][_end(remote)[0]] += 1
    return waiting, connected


def _table(name):
    try:
        lines = pathlib.Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    return [line.split() for line in lines]


def _end(text):
    raw, port = text.split(":")
    words = bytes.fromhex(raw)
    # Words of the machine's own byte order.
    packed = struct.pack(f">{len(words) // 4}I", *struct.unpack(f"={len(words) // 4}I", words))
    address = ipaddress.ip_address(packed)
    return str(getattr(address, "ipv4_mapped", None) or address), int(port, 16)


def _processes(inodes):
    """{inode of a socket: pid of a process that has it}, the oldest one."""
    found = {}
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True):
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                links = [os.readlink(entry.path) for entry in entries]
        except OSError:
            continue
        for link in links:
            match = re.fullmatch(r"socket:\[(\d+)\]", link)
            if match and match[1] in inodes:
                found[match[1]] = pid
    return found


def process(system, pid):
    """
    Return what may be told (dict) of the process ``pid`` (int); of one that is gone, or the kernel's own, nothing.

    process, script, user, unit, package, deleted: as ``listeners`` has them.
    """
    nothing = {"process": "", "script": "", "user": "", "unit": "", "package": "", "deleted": False}
    if pid is None:
        return nothing
    home = pathlib.Path("/proc", str(pid))
    try:
        exe, uid = os.readlink(home / "exe"), home.stat().st_uid
        argv = home.joinpath("cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
        folder = os.readlink(home / "cwd")
        unit = unit_of(home.joinpath("cgroup").read_text(encoding="utf-8"))
    except OSError:
        return nothing
    program = exe.removesuffix(" (deleted)")

    def is_file(name):
        return system.is_near(name) and os.path.isfile(name)

    if insync_survey_mask.is_interpreter(program):
        # A script is often named as it lies where it was started.
        places = [os.path.normpath(os.path.join(folder, word)) for word in argv]
        argv = [place if is_file(place) else word for place, word in zip(places, argv, strict=True)]
    return {
        "process": insync_survey_mask.command(argv, program, is_file),
        "script": insync_survey_mask.script(argv, program, is_file),
        "user": _user(uid),
        "unit": unit,
        "package": system.owner(program),
        "deleted": program != exe,
    }


def unit_of(cgroups):
    """Return the unit (str) that ``cgroups``, the text of /proc/PID/cgroup, names; "" if it is none's."""
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            units = re.findall(r"[^/]+\.(?:service|scope|socket)(?=/|$)", path)
            # podman and docker have scopes of their own around a whole server.
            units = [unit for unit in units if not unit.startswith(("libpod-", "docker-", "user@"))]
            if units:
                return units[-1].replace("\\x2d", "-")
    return ""


def _user(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _declared(system, row, process):
    """By whom it is: a port of the inventory that its unit serves, or on loopback what is its unit's own program."""
    unit, allow = process["unit"], system.plan.get("allow", ())
    served = insync_survey_lines.served(allow, {**row, "unit": unit})
    if served:
        return {"by": served}
    if ipaddress.ip_address(row["address"]).is_loopback:
        return {"by": _own(system, process) if unit else ""}
    expected = ", ".join(dict.fromkeys(rule["unit"] for rule in insync_survey_lines.rules_of(allow, row)))
    return {"by": "", **({"instead_of": expected} if expected else {})}


def _own(system, process):
    """
    Who brings the unit of ``process``: our states, or the package that its program is of.

    What cron, at or rc.local have started is in their units, too, and nobody's.
    """
    unit = process["unit"]
    by = "salt" if unit in system.plan.get("units", ()) else insync_survey_units.by(system, unit)
    # Of a socket systemd has the program, until somebody comes.
    if unit.endswith(".socket") or not by.startswith("package "):
        return by
    owner = by.removeprefix("package ")
    packages = [package for package in (process["package"], system.owner(process["script"])) if package]
    return by if any(_belongs(system, package, owner) for package in packages) else ""


def _belongs(system, package, owner):
    # A service may be packed apart from its program, such as nginx-common from nginx.
    return system.source(package) == system.source(owner) or package.startswith(_STARTS.get(owner, "/"))
