"""Leaving alone what one can do without while it is silent, as a server is that has lost its power."""

import threading
import time


class Rest:
    """
    Asked before, and told after, each use of the service:

        if rest.over():
            try: ...; rest.end()
            except ...: rest.begin()
    """

    def __init__(self, seconds):
        """seconds (float): after a failure one caller in so many tries again."""
        self._seconds, self._until, self._lock = seconds, None, threading.Lock()

    def over(self):
        """Return whether to use it."""
        with self._lock:
            if self._until is None:
                return True
            if time.monotonic() < self._until:
                return False
            # Whoever else comes while this one tries goes without.
            self._until = time.monotonic() + self._seconds
            return True

    def begin(self):
        """It has failed."""
        with self._lock:
            self._until = time.monotonic() + self._seconds

    def end(self):
        """It has answered."""
        with self._lock:
            self._until = None
