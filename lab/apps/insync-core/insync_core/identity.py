"""Who answers: the same for every application, over Flask or without."""

import datetime
import functools
import importlib.metadata
import os
import socket


class Identity:
    """
    What /healthz, /readyz and /version say.

    name (str): of the distribution.
    build (module): its _build.
    readiness (Readiness)
    revision (callable): returns the conf's revision.
    """

    def __init__(self, name, build, readiness, revision):
        self.name = name
        self.build = build
        self.readiness = readiness
        self.revision = revision
        self.release = os.environ.get("RELEASE", "")
        self.slot = os.environ.get("SLOT", "")
        self.host = socket.gethostname()
        # In every reply: which release, in which slot, on which server.
        self.stamp = f"{self.release}/{self.slot}/{self.host}"
        self.started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def healthz(self, wanted=None):
        """Return (status, dict); 409 where another release than ``wanted`` answers. Asks nobody."""
        fits = wanted in (None, self.release)
        status = "ok" if fits else f"not release {wanted}"
        return (200 if fits else 409), {"status": status, **self._place(), "pid": os.getpid()}

    def readyz(self):
        """Return (status, dict): what the application needs, and whether it has it."""
        checks = self.readiness.answer()
        ok = self.readiness.is_ready(checks)
        return (200 if ok else 503), {"ok": ok, **self._place(), "checks": checks}

    def version(self):
        """Return (status, dict)."""
        return 200, {
            "name": self.name,
            "version": self.build.VERSION,
            **self._place(),
            "host": self.host,
            "pid": os.getpid(),
            "started_at": self.started_at,
            "conf_rev": self.revision(),
            "stand_in": True,
            "versions": _versions(),
        }

    def _place(self):
        return {"release": self.release, "slot": self.slot}


@functools.cache
def _versions():
    found = importlib.metadata.distributions()
    return {dist.name: dist.version for dist in found if (dist.name or "").startswith("insync-")}
