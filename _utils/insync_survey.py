"""
The survey of a server: what runs there and who uses it, and what of that nobody has declared.

It only reads, needs nothing but Python, and never tells a secret: of commands it shows the program and the names of its
options, of files where they are. As a program it reads what is declared from its standard input, and prints JSON; with
a folder as its argument, of the server whose files are there.
"""

import json
import os
import sys
import time

import insync_survey_certificates
import insync_survey_cron
import insync_survey_data
import insync_survey_lines
import insync_survey_packages
import insync_survey_people
import insync_survey_processes
import insync_survey_sockets
import insync_survey_system
import insync_survey_units
import insync_survey_web

SECTIONS = {
    "listeners": lambda system, files, venvs: insync_survey_sockets.listeners(system),
    "sockets": lambda system, files, venvs: insync_survey_sockets.paths(system),
    # Behind those that wait for somebody, which are told there.
    "processes": lambda system, files, venvs: insync_survey_processes.processes(system),
    "units": lambda system, files, venvs: insync_survey_units.units(system),
    "services": lambda system, files, venvs: insync_survey_units.running(system)[0],
    "failed": lambda system, files, venvs: insync_survey_units.running(system)[1],
    "timers": lambda system, files, venvs: insync_survey_units.timers(system),
    "cron": lambda system, files, venvs: insync_survey_cron.cron(system),
    "sites": lambda system, files, venvs: insync_survey_web.sites(system),
    "certificates": lambda system, files, venvs: insync_survey_certificates.certificates(system, files),
    "databases": lambda system, files, venvs: insync_survey_data.databases(system, files),
    "virtualenvs": lambda system, files, venvs: insync_survey_data.virtualenvs(system, venvs),
    "conffiles": lambda system, files, venvs: insync_survey_packages.conffiles(system),
    "sources": lambda system, files, venvs: insync_survey_data.sources(system),
    "folders": lambda system, files, venvs: insync_survey_data.large(system, files),
    "disks": lambda system, files, venvs: insync_survey_data.disks(system),
    "users": lambda system, files, venvs: insync_survey_people.users(system),
    "keys": lambda system, files, venvs: insync_survey_people.keys(system),
    "logins": lambda system, files, venvs: insync_survey_people.logins(system),
}
# Of one kind; users can make things, too, and all of it has to reach the master.
ROWS = 2000


def survey(plan, root="/"):
    """
    Return what is on a server.

    plan (dict): what is declared, as insync_survey_system.System takes it; and ``allow`` (list of dict: service, unit,
    address, protocol, port) and ``slots`` (pool -> slot -> port).
    root (str): another folder for a copy of its files.

    A dict: when, seconds, found (section -> list), unknown (list of str: what nobody declares), missing (list of str:
    what is declared, and nothing listens), incomplete (list of str: what could not be looked at to the end).
    """
    started = time.time()
    system = insync_survey_system.System(root, plan)
    found, incomplete = {}, []
    files, venvs = _tried("files", lambda: insync_survey_data.files(system), incomplete) or ([], [])
    for section, look in SECTIONS.items():
        rows = _tried(section, lambda look=look: list(look(system, files, venvs)), incomplete) or []
        if len(rows) > ROWS:
            incomplete.append(f"{section}: {ROWS} of {len(rows)} are told")
        found[section] = rows[:ROWS]
    return _printable(
        {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 1),
            "found": found,
            "unknown": insync_survey_lines.unknown(found),
            "missing": insync_survey_lines.missing(found, plan),
            "incomplete": incomplete + list(dict.fromkeys(system.cut_short))[:ROWS],
        }
    )


def _tried(section, look, incomplete):
    """What ``look`` finds; None if it fails, which is told: one section keeps no other one from being looked at."""
    try:
        return look()
    except Exception as exc:
        # What it says might quote what it read.
        incomplete.append(f"{section}: {type(exc).__name__}")
        return None


def _printable(value):
    """``value`` for people and for Salt: the name of a file may be no text, or have the look of another line."""
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode()
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list) else value


def main(root="/"):
    """Survey this server, or a copy of its files in ``root`` (str), at the end of every queue."""
    os.nice(19)
    json.dump(survey(json.load(sys.stdin), root), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
