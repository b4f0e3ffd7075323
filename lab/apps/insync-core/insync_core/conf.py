"""The application's conf: asked of the conf server every few seconds, the last good answer kept on disk."""

import dataclasses
import json
import os
import tempfile
import threading
import time

from insync_core import confserver, log
from insync_core.errors import Unavailable

EVERY = 5


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What is known: a revision with its values, and ``trouble``, why it may not be the newest."""

    rev: int | None = None
    values: dict | None = None
    etag: str | None = None
    trouble: str = ""


class Conf:
    """
    Knows the conf of ``settings.namespace``.

    needs (dict): the keys that the application cannot do without, with their types; see ``problem``.
    An answer that lacks one of them is refused, and what was known stays.
    """

    def __init__(self, settings, needs):
        self.settings = settings
        self.needs = needs
        self._cache = settings.state / "conf.json"
        self._now = Snapshot(trouble="not asked yet")
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._process = None

    def current(self):
        """Return the Snapshot; the first call in a process begins to ask, and waits a little for the answer."""
        with self._lock:
            # gunicorn loads the application first and forks then: a thread begun before would be lost.
            if self._process != os.getpid():
                self._process = os.getpid()
                self._asked.clear()
                self._now = self._cached()
                threading.Thread(target=self._ask_forever, daemon=True, name="conf").start()
        self._asked.wait(confserver.SECONDS)
        return self._now

    def values(self):
        """Return the values. Raises Unavailable while there never were any."""
        now = self.current()
        if now.values is None:
            raise Unavailable("conf", now.trouble)
        return now.values

    def check(self):
        """Return what readiness says about it. Raises Unavailable."""
        self.values()
        now = self._now
        return f"cached revision {now.rev}: {now.trouble}" if now.trouble else f"revision {now.rev}"

    def refresh(self):
        """Ask once."""
        before = self._now
        try:
            self._now = self._asked_anew(before)
        except (confserver.Refused, confserver.Unreachable, Unavailable) as exc:
            trouble = exc.reason if isinstance(exc, Unavailable) else str(exc)
            self._now = dataclasses.replace(before, trouble=trouble)
        if self._now != before:
            log.say("conf", revision=self._now.rev, trouble=self._now.trouble)

    def _asked_anew(self, before):
        settings = self.settings
        url = f"{settings.conf_url.rstrip('/')}/v1/conf/{settings.namespace}"
        answer, etag = confserver.ask(url, settings.token, settings.ca_file, etag=before.etag)
        if answer is None:
            return dataclasses.replace(before, trouble="")
        found = _snapshot(answer, etag)
        trouble = problem(found.values, self.needs)
        if trouble:
            raise Unavailable("conf", f"revision {found.rev} refused: {trouble}")
        self._keep(found)
        return found

    def _ask_forever(self):
        while True:
            try:
                self.refresh()
            except Exception as exc:  # whatever it is, the application goes on with what it knows
                log.say("conf", trouble=type(exc).__name__)
            self._asked.set()
            time.sleep(EVERY)

    def _cached(self):
        try:
            kept = json.loads(self._cache.read_text(encoding="utf-8"))
            if kept["namespace"] != self.settings.namespace:
                raise ValueError("of another namespace")
            found = dataclasses.replace(_snapshot(kept, kept["etag"]), trouble="not asked yet")
        except FileNotFoundError:
            return Snapshot(trouble="not asked yet")
        except (OSError, ValueError, KeyError, TypeError, Unavailable) as exc:
            log.say("conf-cache", trouble=type(exc).__name__)
            return Snapshot(trouble="not asked yet")
        return found if not problem(found.values, self.needs) else Snapshot(trouble="not asked yet")

    def _keep(self, found):
        kept = {"namespace": self.settings.namespace, "rev": found.rev, "etag": found.etag, "conf": found.values}
        try:
            write(self._cache, json.dumps(kept))
        except OSError as exc:
            log.say("conf-cache", trouble=exc.strerror)


def write(path, text):
    """Put ``text`` at ``path`` (pathlib.Path), readable by the owner only: all of it or, after a crash, nothing."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def problem(values, needs, where=""):
    """
    Return what is wrong with ``values``, or "".

    needs (dict): key to type, or to a dict of the same kind.
    """
    if not isinstance(values, dict):
        return f"{where.rstrip('.') or 'conf'} is not an object"
    for key, need in needs.items():
        if key not in values:
            return f"{where}{key} is missing"
        value = values[key]
        if isinstance(need, dict):
            wrong = problem(value, need, f"{where}{key}.")
        else:
            wrong = "" if _is(value, need) else f"{where}{key} is not {_NAMES[need]}"
        if wrong:
            return wrong
    return ""


_NAMES = {str: "a text", int: "a number above 0"}


def _is(value, need):
    if need is int:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, str) and value != ""


def _snapshot(answer, etag):
    rev, values = (answer.get("rev"), answer.get("conf")) if isinstance(answer, dict) else (None, None)
    if not isinstance(rev, int) or not isinstance(values, dict):
        raise Unavailable("conf", "the answer has no rev and conf")
    return Snapshot(rev=rev, values=values, etag=etag)
