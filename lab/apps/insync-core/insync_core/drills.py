"""
What drills ask for: an answer that takes its time, a receipt that is in the log as often as it ran, and an error that
nobody foresaw.
"""

import re
import time

from insync_core import log

SLOWEST = 5
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def slow(wanted):
    """
    Answer after a while, as (dict, status): a request that a release must not cut.

    wanted (str): seconds, from 0 to SLOWEST.
    """
    try:
        seconds = float(wanted)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= SLOWEST:
        return {"error": f"seconds is a number from 0 to {SLOWEST}"}, 400
    time.sleep(seconds)
    return {"seconds": seconds}, 200


def receipt(document):
    """
    Note {"id": ...} in the log and answer it, as (dict, status): a request that must be executed once.

    document: what was sent, of whatever type.
    """
    wanted = document.get("id") if isinstance(document, dict) else None
    if not isinstance(wanted, str) or not _ID.fullmatch(wanted):
        return {"error": "id is missing, or not letters, digits and dashes"}, 400
    log.say("receipt", id=wanted)
    return {"id": wanted}, 201


class Boom(Exception):
    """Raised on purpose."""


def boom():
    """Fail as an application does that has a fault nobody knows of: to see where its errors arrive."""
    raise Boom("this error is raised on purpose")
