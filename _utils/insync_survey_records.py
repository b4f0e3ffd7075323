"""The surveys that were kept, one file for each server and date; and what two of them say differently."""

import json
import os
import pathlib

import insync_inventory
import insync_survey_lines

FOLDER = pathlib.Path("/var/lib/insync/survey")
# How much a disk is used, and who entered when, is of no interest a week later.
COMPARED = (*insync_survey_lines.ASKED, "services", "failed", "timers", "certificates")


class RecordError(ValueError):
    """There is no such survey; the message names those that there are."""


def keep(host, survey, folder=FOLDER):
    """
    Keep ``survey`` (dict, of ``insync.survey full=True``) of ``host`` (str); return its file (pathlib.Path).

    It tells no secret, but much about the server: only the master reads it. Raises OSError.
    """
    home = pathlib.Path(folder, host)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / f"{survey['when']}.json"
    new = file.with_name(f"{file.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        json.dump(survey, opened, indent=1, sort_keys=True)
    new.replace(file)
    return file


def dates(host, folder=FOLDER):
    """Return when ``host`` (str) was surveyed (list of str), the newest last."""
    return sorted(path.stem for path in pathlib.Path(folder, host).glob("*.json"))


def read(host, date, folder=FOLDER):
    """
    Return the survey (dict) of ``host`` (str) at ``date`` (str): the last one whose date begins so.

    Raises RecordError if there is none.
    """
    there = dates(host, folder)
    found = [one for one in there if one.startswith(date)]
    if not found:
        known = f"there are those of {', '.join(there[-5:])}" if there else "run 'salt-run insync.survey' first"
        raise RecordError(f"{host}: no survey of {date or 'any date'}; {known}")
    return json.loads(pathlib.Path(folder, host, f"{found[-1]}.json").read_text(encoding="utf-8"))


def differences(before, after, servers=None):
    """
    Return what ``after`` says otherwise than ``before`` (both dict): a list of (``new`` or ``gone``, line).

    servers (dict): address -> name. Sizes and the days that a certificate has left do not count.
    """
    old, new = (_lines(survey["found"], servers or {}) for survey in (before, after))
    return [("gone", line) for line in old if line not in new] + [("new", line) for line in new if line not in old]


def _lines(found, servers):
    """A line of everything that is compared, in order; and of who is connected to what."""
    lines = [line for section in COMPARED for row in found[section] for line in _of_row(section, row)]
    for row in found["listeners"]:
        where = f"{row['protocol']}/{row['port']}" + (f" of {row['unit']}" if row["unit"] else "")
        lines += [f"connection of {servers.get(address, address)} to {where}" for address in row["peers"]]
    return list(dict.fromkeys(lines))


def _of_row(section, row):
    if section == "virtualenvs":
        return [f"virtualenv {row['path']}: {package}" for package in row["packages"]] or [f"virtualenv {row['path']}"]
    line = insync_survey_lines.line(section, {**row, "peers": {}, "bytes": 0})
    return [line.replace(", 0 B", "").replace(": 0 B", "")]


def against(inventory, host, survey):
    """
    Return what the inventory declares of ``host`` (str), and ``survey`` (dict) did not find so: a list of (declared,
    found), both str; "nothing" on either side.
    """
    plan = {"allow": insync_inventory.allow(inventory, host), "slots": insync_inventory.slots(inventory, host)}
    found = {**survey["found"], "listeners": [_judged(plan, row) for row in survey["found"]["listeners"]]}
    servers = {one["private"]: name for name, one in inventory["hosts"].items()}
    rows = [(line, "nothing") for line in insync_survey_lines.missing(found, plan)]
    return rows + [("nothing", line) for line in insync_survey_lines.unknown(found, servers)]


def _judged(plan, row):
    """``row`` of a listener, by what is declared now, which may not be what was when it was found."""
    judged = "" if insync_survey_lines.is_served(row) else row["by"]
    return {**row, "by": insync_survey_lines.served(plan["allow"], row) or judged}
