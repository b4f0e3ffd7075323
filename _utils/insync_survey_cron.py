"""What cron and at are told to do on a server."""

import re

import insync_survey_mask

_TABLES = ("/etc/crontab", "/etc/cron.d/*")
_ANACRON = "/etc/anacrontab"
_OF_USERS = ("/var/spool/cron/crontabs/*", "/var/spool/cron/*")
_SCRIPTS = ("/etc/cron.hourly/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/etc/cron.monthly/*")
_JOBS = ("/var/spool/cron/atjobs/*", "/var/spool/at/*")
_WHEN = re.compile(r"(@\w+|(?:\S+\s+){4}\S+)\s+(.*)")
# How many days, how many minutes later, and a name of the job.
_DAYS = re.compile(r"(@[a-z]+|\d+)\s+(\d+)\s+\S+\s+(.*)")
_FIELD = re.compile(r"[\d*/,-]+|[A-Za-z]{3}(-[A-Za-z]{3})?|@[a-z]+")
_USER = re.compile(r"[a-z_][\w.-]{0,31}")
LINES = 200


def cron(system):
    """
    Return what is done regularly on ``system``, but for what packages bring.

    A list of dict: where, user, line (when, and of the command what is no secret), by.
    """
    found = []
    for pattern in (*_TABLES, _ANACRON):
        for name in system.glob(pattern):
            by = system.by(name)
            if not by.startswith("package") and _is_file(system, name):
                found += _lines(system, name, by, user=None)
    for pattern in _OF_USERS:
        for name in system.glob(pattern):
            if _is_file(system, name):
                found += _lines(system, name, system.by(name), user=name.rsplit("/", 1)[-1])
    for pattern in (*_SCRIPTS, *_JOBS):
        for name in system.glob(pattern):
            by = system.by(name)
            if _is_file(system, name) and not by.startswith("package") and not name.endswith(".SEQ"):
                found.append({"where": name, "user": "", "line": "a script", "by": by})
    return found


def _is_file(system, name):
    return system.path(name).is_file() and not name.endswith("/.placeholder")


def _lines(system, name, by, user):
    rows = []
    for line in system.text(name).splitlines()[: LINES * 10]:
        told = _told(system, name, line.strip(), user)
        if told and len(rows) < LINES:
            rows.append({"where": name, **told, "by": by})
    return rows


def _told(system, name, line, user):
    """When, who, and what; None for what starts nothing."""
    if not line or line.startswith("#") or re.match(r"\w+\s*=", line):
        return None
    match = (_DAYS if name == _ANACRON else _WHEN).fullmatch(line)
    if name == _ANACRON and match:
        return {"user": "root", "line": f"{match[1]} {match[2]} {_command(system, match[3])}"}
    if not match or not all(_FIELD.fullmatch(field) for field in match[1].split()):
        # No line of a crontab: which of its words is a program nobody can tell.
        return {"user": user or "", "line": insync_survey_mask.HIDDEN}
    when, rest = match[1], match[2]
    if user is None:
        # A tab is as good as a space.
        user, rest = [*rest.split(None, 1), ""][:2]
    shown = _command(system, rest)
    user = user if _USER.fullmatch(user) else insync_survey_mask.HIDDEN
    return {"user": user, "line": f"{' '.join(when.split())} {shown}"}


def _command(system, text):
    # Behind a percent sign follows what the command reads.
    command = re.split(r"(?<!\\)%", text.strip())[0]
    return insync_survey_mask.shell(command, lambda name: system.path(name).is_file())
