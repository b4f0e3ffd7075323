"""What cron and at are told to do on a server."""

import re

import insync_survey_mask
import insync_survey_packages

_TABLES = ("/etc/crontab", "/etc/cron.d/*")
_ANACRON = "/etc/anacrontab"
_OF_USERS = ("/var/spool/cron/crontabs/*", "/var/spool/cron/*")
_SCRIPTS = ("/etc/cron.hourly/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/etc/cron.monthly/*")
_JOBS = ("/var/spool/cron/atjobs/*", "/var/spool/at/*")
_WHEN = re.compile(r"(@\w+|(?:\S+\s+){4}\S+)\s+(.*)")
# How many days, how many minutes later, and a name of the job.
_DAYS = re.compile(r"(@(?:daily|weekly|monthly|yearly|annually)|\d+)\s+(\d+)\s+(\S+)\s+(.*)")
_FIELD = re.compile(
    r"(?:[\d*/,~-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)+"
    r"|@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly)",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"""(["']?)[\w.-]+\1\s*=""")
# Behind a percent sign follows what the command reads; not behind an escaped one.
_INPUT = re.compile(r"(?<!\\)(?:\\\\)*%")
LINES = 200


def cron(system):
    """
    Return what is done regularly on ``system``, but for what packages bring.

    A list of dict: where, user, line (when, and of the command what is no secret), by.
    """
    found = []
    for pattern in (*_TABLES, _ANACRON):
        for name in system.glob(pattern):
            by = insync_survey_packages.by(system, name)
            if not by.startswith("package") and _is_file(system, name):
                found += _lines(system, name, by, user=None)
    for pattern in _OF_USERS:
        for name in system.glob(pattern):
            if _is_file(system, name):
                found += _lines(system, name, insync_survey_packages.by(system, name), user=name.rsplit("/", 1)[-1])
    for pattern in (*_SCRIPTS, *_JOBS):
        for name in system.glob(pattern):
            by = insync_survey_packages.by(system, name)
            if _is_file(system, name) and not by.startswith("package") and not name.endswith(".SEQ"):
                found.append({"where": name, "user": "", "line": "a script", "by": by})
    return found


def _is_file(system, name):
    return system.path(name).is_file() and not name.endswith("/.placeholder")


def _lines(system, name, by, user):
    rows = []
    for line in system.text(name).splitlines():
        told = _told(system, name, line.strip(), user)
        if told and len(rows) == LINES:
            system.cut_short.append(f"{name}: too many lines")
            break
        if told:
            rows.append({"where": name, **told, "by": by})
    return rows


def _told(system, name, line, user):
    """When, who, and what; None for what starts nothing."""
    if not line or line.startswith("#") or _VARIABLE.match(line):
        return None
    match = (_DAYS if name == _ANACRON else _WHEN).fullmatch(line)
    if name == _ANACRON and match:
        return {"user": "root", "line": f"{match[1]} {match[2]} {_of_job(system, match[3], match[4])}"}
    if not match or not all(_FIELD.fullmatch(field) for field in match[1].split()):
        # No line of a crontab: which of its words is a program nobody can tell.
        return {"user": user or "", "line": insync_survey_mask.HIDDEN}
    when, rest = " ".join(match[1].split()), match[2]
    if user is not None:
        return {"user": user, "line": f"{when} {_command(system, rest)}"}
    # A tab is as good as a space.
    user, command = [*rest.split(None, 1), ""][:2]
    if user not in system.users() or _may_be_left_out(system, user, command):
        return {"user": "", "line": f"{when} {insync_survey_mask.HIDDEN}"}
    return {"user": user, "line": f"{when} {_command(system, command)}".rstrip()}


def _of_job(system, job, command):
    return insync_survey_mask.HIDDEN if _may_be_left_out(system, job, command) else _command(system, command)


def _may_be_left_out(system, word, command):
    """
    Whether ``word``, which should say who or what stands before ``command``, may be the program that is meant.

    Then what looks like a program is its first argument: users such as mysql have the name of one.
    """
    possible = word.startswith("/") or _is_program(system, word)
    return possible and not _is_program(system, next(iter(command.split()), ""))


def _is_program(system, word):
    return insync_survey_mask.is_program(word, lambda name: system.path(name).is_file())


def _command(system, text):
    return insync_survey_mask.shell(_INPUT.split(text.strip())[0], lambda name: system.path(name).is_file())
