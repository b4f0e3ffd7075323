"""The surveys that were kept, one file for each server and date; and what two of them say differently."""

import contextlib
import itertools
import json
import os
import pathlib
import tempfile

import insync_inventory
import insync_survey_lines

FOLDER = pathlib.Path("/var/lib/insync/survey")
# How much a disk is used, and who entered when, is of no interest a week later.
COMPARED = (*insync_survey_lines.ASKED, "failed", "timers")


NOT_LOOKED_AT = "not looked at then"
# Of one server; daily ones of two weeks are what is looked at before it goes.
KEPT = 50


class RecordError(ValueError):
    """There is no such survey, and the message names those that there are; or one that cannot be read."""


def keep(host, survey, folder=FOLDER):
    """
    Keep ``survey`` (dict, of ``insync.survey full=True``) of ``host`` (str); return its file (pathlib.Path).

    It tells no secret, but much about the server: only the master reads it. The oldest ones give way. Raises OSError.
    """
    home = pathlib.Path(folder, host)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=home, suffix=".new") as opened:
        json.dump(survey, opened, indent=1, sort_keys=True)
        opened.flush()
        file = _named(opened.name, home, survey["when"])
    for date in dates(host, folder)[:-KEPT]:
        # Of two that are kept at once each may have removed it.
        (home / f"{date}.json").unlink(missing_ok=True)
    return file


def _named(new, home, when):
    """Two surveys of one second are two: none takes the place of another, whoever made them."""
    for number in itertools.count(1):
        file = home / (f"{when}.json" if number == 1 else f"{when}-{number}.json")
        with contextlib.suppress(FileExistsError):
            os.link(new, file)
            return file


def dates(host, folder=FOLDER):
    """Return when ``host`` (str) was surveyed (list of str), the newest last."""
    return sorted((path.stem for path in pathlib.Path(folder, host).glob("*.json")), key=_moment)


def _moment(date):
    when, _, number = date.partition("Z-")
    return when.removesuffix("Z"), int(number or 1)


def read(host, date, folder=FOLDER):
    """
    Return the survey (dict) of ``host`` (str) at ``date`` (str): the last one whose date begins so.

    Raises RecordError if there is none.
    """
    return _read(host, _matching(host, date, folder)[-1], folder)


def pair(host, before, after, folder=FOLDER):
    """
    Return two surveys (dict) of ``host`` (str): the first whose date begins with ``before``, the last with ``after``.

    So of one day, given as both, it is what changed on it. Raises RecordError if there are no two, in this order.
    """
    old, new = _matching(host, before, folder)[0], _matching(host, after, folder)[-1]
    if _moment(old) >= _moment(new):
        reason = "there is no other one since" if old == new else "that is later"
        raise RecordError(f"{host}: the survey of {old} cannot be compared with that of {new}: {reason}")
    return _read(host, old, folder), _read(host, new, folder)


def _matching(host, date, folder):
    """The dates that begin with ``date``, or the one that it is."""
    there = dates(host, folder)
    found = [date] if date in there else [one for one in there if one.startswith(date)]
    if not found:
        known = f"there are those of {', '.join(there[-5:])}" if there else "run 'salt-run insync.survey' first"
        raise RecordError(f"{host}: no survey of {date or 'any date'}; {known}")
    return found


def _read(host, date, folder):
    file = pathlib.Path(folder, host, f"{date}.json")
    try:
        survey = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise RecordError(f"{host}: {file} cannot be read: {type(exc).__name__}") from exc
    if not isinstance(survey, dict) or not isinstance(survey.get("found"), dict):
        raise RecordError(f"{host}: {file} is no record of a survey")
    return survey


def differences(before, after, servers=None):
    """
    Return what ``after`` says otherwise than ``before`` (both dict): a list of (``new`` or ``gone``, line).

    servers (dict): address -> name. Sizes and the days that a certificate has left do not count. A section that is not
    in both was not looked at then: it is ``unknown``. Raises RecordError for a record of another shape.
    """
    lacking = [section for section in COMPARED if not (section in before["found"] and section in after["found"])]
    sections = [section for section in COMPARED if section not in lacking]
    with _of_this_shape():
        old, new = (_lines(survey["found"], sections, servers or {}) for survey in (before, after))
    rows = [("gone", line) for line in old if line not in new] + [("new", line) for line in new if line not in old]
    return rows + [("unknown", f"{section}: {NOT_LOOKED_AT}") for section in lacking]


@contextlib.contextmanager
def _of_this_shape():
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise RecordError(f"a record is of another shape: {type(exc).__name__}") from exc


def _lines(found, sections, servers):
    """A line of everything that is compared, in order; and of who is connected to what."""
    lines = [line for section in sections for row in found[section] for line in _of_row(section, row)]
    for row in found["listeners"] if "listeners" in sections else ():
        where = f"{row['protocol']}/{row['port']}" + (f" of {row['unit']}" if row["unit"] else "")
        lines += [f"connection of {servers.get(address, address)} to {where}" for address in row["peers"]]
    return list(dict.fromkeys(lines))


def _of_row(section, row):
    if section == "virtualenvs":
        return [f"virtualenv {row['path']}: {package}" for package in row["packages"]] or [f"virtualenv {row['path']}"]
    line = insync_survey_lines.line(section, {**row, "peers": {}, "bytes": 0, "since": ""})
    return [line.replace(", 0 B", "").replace(": 0 B", "")]


def against(inventory, host, survey):
    """
    Return what the inventory declares of ``host`` (str), and ``survey`` (dict) did not find so: a list of (declared,
    found), both str; "nothing" on either side.

    A section that is not there was not looked at then, and says so. Raises RecordError for a record of another shape.
    """
    plan = {"allow": insync_inventory.allow(inventory, host), "slots": insync_inventory.slots(inventory, host)}
    servers = {one["private"]: name for name, one in inventory["hosts"].items()}
    lacking = [section for section in insync_survey_lines.ASKED if section not in survey["found"]]
    with _of_this_shape():
        found = {**dict.fromkeys(lacking, ()), **survey["found"]}
        found["listeners"] = [_judged(plan, row) for row in found["listeners"]]
        rows = [] if "listeners" in lacking else insync_survey_lines.missing(found, plan)
        unknown = insync_survey_lines.unknown(found, servers)
    rows = [(line, "nothing") for line in rows] + [("nothing", line) for line in unknown]
    return rows + [("unknown", f"{section}: {NOT_LOOKED_AT}") for section in lacking]


def _judged(plan, row):
    """``row`` of a listener, by what is declared now, which may not be what was when it was found."""
    judged = "" if insync_survey_lines.is_served(row) else row["by"]
    return {**row, "by": insync_survey_lines.served(plan["allow"], row) or judged}
