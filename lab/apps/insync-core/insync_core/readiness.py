"""Readiness: every check at the same time, each with a short limit, the answer kept for a second."""

import concurrent.futures
import threading
import time

from insync_core import faults
from insync_core.errors import Unavailable, reason

# A load balancer that asks gives up after a second.
LIMIT = 0.8
KEPT = 1


class Readiness:
    """
    Asks ``checks`` ({name: callable}); each returns a detail (str), or raises.

    fault (str): of the build; see faults.
    optional (collection of str): the checks of what it can do without.
    """

    def __init__(self, checks, fault="", optional=()):
        self.checks = {**checks, **faults.checks(fault)}
        self.optional = optional
        self._lock = threading.Lock()
        self._running = {}
        self._answer = None
        self._until = 0

    def answer(self):
        """Return {name: {"ok": bool, "detail": str}}."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._answer = self._ask()
                self._until = time.monotonic() + KEPT
            return self._answer

    def is_ready(self, answer):
        """Return whether nothing fails in ``answer`` (dict, as ``answer()`` returns it) that is needed."""
        return all(check["ok"] for name, check in answer.items() if name not in self.optional)

    def _ask(self):
        # One that hangs from an earlier round is neither begun again nor waited for.
        hanging, end = set(self._running), time.monotonic() + LIMIT
        for name in self.checks.keys() - hanging:
            self._running[name] = _begin(name, self.checks[name])
        return {name: self._result(name, 0 if name in hanging else end) for name in self.checks}

    def _result(self, name, end):
        future = self._running[name]
        _, waiting = concurrent.futures.wait([future], timeout=max(0, end - time.monotonic()))
        if waiting:
            return {"ok": False, "detail": f"no answer within {LIMIT} s"}
        del self._running[name]
        try:
            return {"ok": True, "detail": future.result()}
        except Unavailable as exc:
            # A check of mysql that lacks the conf says so.
            return {"ok": False, "detail": exc.reason if exc.name == name else str(exc)}
        except Exception as exc:
            return {"ok": False, "detail": f"{type(exc).__name__}: {reason(exc)}"}


def _begin(name, check):
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(check())
        except BaseException as exc:
            future.set_exception(exc)

    # No pool: its threads would hold up the end of the process.
    threading.Thread(target=run, daemon=True, name=f"check-{name}").start()
    return future
