"""What systemd runs on a server, or used to be run by init, that no package brings."""

import glob
import os
import re

import insync_survey_mask
import insync_survey_packages

_KEPT = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_PLACES = (*_KEPT[:1], "/run/systemd/system", *_KEPT[1:])
# Of these the managers of users run some.
_OF_PACKAGES = ("/usr/lib/systemd/user", "/lib/systemd/user")
_OF_USERS = ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
_IN_HOMES = (".config/systemd/user", ".local/share/systemd/user")
_KINDS = "service|socket|timer|path|mount|automount|target|swap|slice"
# What packages wanted when they were installed, whatever somebody did since.
_OF_DEBIAN = "/var/lib/systemd/deb-systemd-helper"
_TRANSIENT = "/run/systemd/transient"
# A reboot forgets what somebody put there.
_PASSING = (_TRANSIENT, "/run/systemd/system")
_GENERATED = ("/run/systemd/generator", "/run/systemd/generator.late", _TRANSIENT)


def by(system, unit):
    """
    Return who brings ``unit`` (str), as ``system.by`` says it; "" for one that nobody does.

    One that systemd made for a session or out of /etc/init.d or fstab is systemd's own, or the script's.
    """
    if unit.endswith(".scope"):
        return ""
    # The name of an instance may have a dot.
    template = re.sub(r"@.*\.", "@.", unit)
    for place in (*_PLACES, *_OF_PACKAGES):
        for name in dict.fromkeys((unit, template)):
            file = f"{place}/{name}"
            if system.path(file).exists():
                return system.by(_target(system, file))
    script = _init_script(unit)
    return system.by(script) if system.path(script).exists() else ""


def units(system):
    """
    Return the units, drop-ins and init scripts of ``system`` that an administrator or our states have put there.

    A list of dict: unit, path, kind, enabled, runs, commands (without what might be a secret), by.
    """
    rows = [_unit(system, name) for name in _own(system, "*") if _is_unit(name)]
    rows += [_drop_in(system, name) for name in _own(system, "*.d/*.conf")]
    rows += [
        _script(system, name) for name in system.glob("/etc/init.d/*") if not insync_survey_packages.by(system, name)
    ]
    rows += [_script(system, "/etc/rc.local")] if system.head("/etc/rc.local", 10) else []
    return [row for row in rows if row]


def _own(system, pattern):
    """The files that ``pattern`` fits where units are, but for what packages bring; /lib may be a link to /usr/lib."""
    folders = {}
    in_homes = (f"{home.rstrip('/')}/{place}" for home in system.homes() for place in _IN_HOMES)
    places = [*_KEPT, *_OF_USERS, *(place for place in in_homes if system.is_near(place))]
    for folder in (name for place in places for name in system.glob(glob.escape(place))):
        folders.setdefault(os.path.realpath(system.path(folder)), folder)
    names = [name for folder in folders.values() for name in system.glob(f"{glob.escape(folder)}/{pattern}")]
    return [name for name in names if not insync_survey_packages.by(system, name).startswith("package")]


def running(system):
    """
    Return the services (list of dict: unit, by, commands) that run on ``system``, and the failed ones (of dict: unit).

    ``commands`` are those of one that somebody started by systemd-run; who has a file is asked about in ``units``.
    """
    options = ("--type=service", "--all", "--plain", "--no-legend", "--full")
    shown = system.ask("services", "systemctl", "list-units", *options) or "" if system.live else ""
    rows = [line.split() for line in shown.splitlines() if len(line.split()) > 3]
    runs = [_running(system, row[0]) for row in rows if row[3] == "running"]
    return runs, [{"unit": row[0]} for row in rows if row[2] == "failed"]


def _running(system, unit):
    template = re.sub(r"@.*\.", "@.", unit)
    files = [f"{place}/{name}" for place in _KEPT for name in (unit, template)] + [_init_script(unit)]
    found = by(system, unit) or next((f"unit {name}" for name in files if system.path(name).exists()), "")
    text = "".join(system.text(f"{place}/{unit}", 100_000) for place in _PASSING)
    return {"unit": unit, "by": found, **({"commands": _commands(system, text)} if text else {})}


def _init_script(unit):
    return f"/etc/init.d/{unit.removesuffix('.service')}"


def timers(system):
    """Return the timers of ``system`` (list of dict: unit, starts, by)."""
    shown = system.ask("timers", "systemctl", "list-timers", "--all", "--no-legend") or "" if system.live else ""
    rows = (line.split() for line in shown.splitlines())
    found = [(row[-2], row[-1]) for row in rows if len(row) > 1 and row[-2].endswith(".timer")]
    return [
        {"unit": timer, "starts": starts, "by": by(system, timer) or _passing(system, timer)} for timer, starts in found
    ]


def _passing(system, unit):
    """A timer that somebody started by systemd-run; a reboot forgets it."""
    return "transient" if any(system.path(f"{place}/{unit}").exists() for place in _GENERATED) else ""


def _is_unit(name):
    return re.search(rf"\.({_KINDS})$", name) is not None


def _target(system, file):
    """Where a link leads that gives a unit another name."""
    path = system.path(file)
    target = os.readlink(path) if path.is_symlink() else file
    return target if target.startswith("/") else f"{file.rsplit('/', 1)[0]}/{target}"


def _unit(system, name):
    target = _target(system, name)
    if target == "/dev/null":
        return _masked(system, name)
    if target != name and system.by(target):
        # Only another name for a unit that is known.
        return None
    text = system.text(name, 100_000)
    folder, unit = name.rsplit("/", 1)
    # Of a user's own manager nobody asks here, only whether it is to be started.
    asked = not folder.endswith("/user")
    wants = (folder, _KEPT[0]) if asked else (folder,)
    return {
        "unit": unit,
        "path": name,
        "kind": "unit",
        "enabled": any(system.glob(f"{glob.escape(place)}/*.wants/{glob.escape(unit)}") for place in wants),
        "runs": asked and system.run("systemctl", "is-active", unit).strip() == "active",
        "commands": _commands(system, text),
        "by": insync_survey_packages.by(system, name),
    }


def _masked(system, name):
    """A unit that a package has start, and somebody has not; what is masked as its package goes is nothing to ask."""
    folder, unit = name.rsplit("/", 1)
    packages = [owner for place in _KEPT[2:] if (owner := system.owner(f"{place}/{unit}"))]
    starts = any(system.glob(f"{place}/*.wants/{glob.escape(unit)}") for place in (_KEPT[0], f"{_OF_DEBIAN}-enabled"))
    if folder != _KEPT[0] or not packages or not starts or system.path(f"{_OF_DEBIAN}-masked/{unit}").exists():
        return None
    return {"unit": unit, "path": name, "kind": f"masks that of {packages[0]}", "by": system.by(name)}


def _commands(system, text):
    return [insync_survey_mask.unit(line, lambda path: system.path(path).is_file()) for line in _starts(text)]


def _starts(text):
    """The commands of ``text``, a unit: a backslash continues a line, and an empty ExecStart= forgets those before."""
    text = re.sub(r"^[ \t]*[#;].*\n?", "", text, flags=re.MULTILINE)
    found = re.findall(r"^[ \t]*ExecStart[ \t]*=(.*)$", text.replace("\\\n", " "), re.MULTILINE)
    found = [line.strip() for line in found]
    return found[len(found) - found[::-1].index("") :] if "" in found else found


def _drop_in(system, name):
    unit = name.split("/")[-2].removesuffix(".d")
    return {"unit": unit, "path": name, "kind": "drop-in", "by": insync_survey_packages.by(system, name)}


def _script(system, name):
    path = system.path(name)
    kind = "init script" if os.access(path, os.X_OK) else "init script (switched off)"
    return {"unit": name.rsplit("/", 1)[-1], "path": name, "kind": kind, "by": insync_survey_packages.by(system, name)}
