"""Faults that a version is built with, so that a release has something to find out."""

from insync_core.errors import Unavailable


def checks(fault):
    """Return what readiness checks beside the rest because of ``fault`` (str): {name: callable}."""
    return {"fault": _unready} if fault == "unready" else {}


def _unready():
    raise Unavailable("fault", "this version is built to be never ready")
