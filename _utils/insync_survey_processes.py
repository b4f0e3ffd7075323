"""What goes on running on a server after somebody started it by hand and went away; from /proc."""

import os
import pathlib
import time

import insync_survey_daemons
import insync_survey_sockets

# Of these services whatever somebody has started stays in the unit: by whose package their own program is brought.
_STARTERS = {
    "anacron": "anacron",
    "atd": "at",
    "cloud-final": "cloud-init",
    "cron": "cron",
    "rc-local": "",
    "ssh": "openssh-server",
    "sshd": "openssh-server",
}
_SYSTEMD = 1
# Seconds: a program that begins, or that ends with its session, has no parent for a moment.
_MOMENT = 2


def processes(system):
    """
    Return the processes of ``system`` that nobody waits for, and that are neither a unit's own nor told as a socket's.

    A list of dict: process, script, user, unit, package, deleted (as ``insync_survey_sockets.listeners`` has them),
    since (date and time), by. What such a process has started is told as well, everything once.
    """
    table = _table(system)
    children = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    rows = []
    for pid in sorted(children.get(_SYSTEMD, ())):
        process = insync_survey_sockets.process(system, pid)
        if table[pid][1] >= _MOMENT and _is_left(system, pid, process):
            rows += _below(system, pid, children, table)
    return rows


def _table(system):
    """{pid: (that of its parent, for how many seconds it has run)}, but for the kernel's own."""
    found = {}
    tick, uptime = os.sysconf("SC_CLK_TCK"), float(system.text("/proc/uptime").split()[0]) if system.live else 0
    for home, _ in insync_survey_daemons.processes(system):
        try:
            # Behind the name, which may have a parenthesis itself.
            words = home.joinpath("stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        found[int(home.name)] = int(words[1]), uptime - int(words[19]) / tick
    return found


def _is_left(system, pid, process):
    """Whether ``process``, which has no parent any more, is none that systemd or a login looks after."""
    unit, package = process["unit"], process["package"]
    if not process["process"] or insync_survey_sockets.is_passed_over(process):
        return False
    if unit.endswith(".scope"):
        return not (unit.startswith("session-") and _leader(system, unit) == str(pid))
    starter = unit.partition(".")[0].partition("@")[0]
    if not unit or starter not in _STARTERS:
        return not unit
    own, packages = _STARTERS[starter], [package, system.owner(process["script"])]
    return system.source(own) not in [system.source(one) for one in packages if one]


def _leader(system, unit):
    """The process (str) with which a session began: login, or an sshd whose service was started anew since."""
    session = unit.removeprefix("session-").removesuffix(".scope")
    return system.run("loginctl", "show-session", session, "--property=Leader", "--value").strip()


def _below(system, top, children, table):
    """A row for ``top`` and for what it has started, each that looks the same once."""
    waiting, told = [top], set()
    while waiting:
        pid = waiting.pop(0)
        waiting += children.get(pid, ())
        process = insync_survey_sockets.process(system, pid)
        looks = process["process"], process["user"], process["unit"]
        is_told = looks in told or not process["process"] or insync_survey_sockets.is_passed_over(process)
        if not is_told and table[pid][1] >= _MOMENT:
            told.add(looks)
            if pid not in system.waiting:
                yield {**process, "since": _since(table[pid][1]), "by": _by(system, pid, process)}


def _since(seconds):
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() - seconds))


def _by(system, pid, process):
    exe = insync_survey_daemons.program(pathlib.Path("/proc", str(pid)))
    return system.declared(process["script"] or exe)
