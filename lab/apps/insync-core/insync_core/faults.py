"""Faults that a version is built with, so that a release has something to find out."""

from insync_core.errors import Unavailable


def checks(fault):
    """Return what readiness checks beside the rest because of ``fault`` (str): {name: callable}."""
    return {"fault": _unready} if fault == "unready" else {}


def imported(fault):
    """Fail, because of ``fault`` (str), when the application is imported."""
    if fault == "unimportable":
        raise ImportError("this version is built so that it cannot be imported")


def answered(fault, path):
    """Return whether a request for ``path`` (str) fails because of ``fault`` (str); no path that a release tries."""
    return fault == "failing" and path.endswith(("/slow", "/receipt", "/signup"))


def _unready():
    raise Unavailable("fault", "this version is built to be never ready")
