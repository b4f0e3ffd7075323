"""A process that does the same step, or steps, for ever: signals, pauses, the watchdog, and HTTP on loopback."""

import functools
import http.server
import json
import os
import signal
import threading
import time
import urllib.parse

from insync_core import log
from insync_core.errors import Unavailable, reason
from insync_core.identity import Identity
from insync_core.notify import notify, watchdog_seconds
from insync_core.readiness import Readiness

# From SIGTERM to the end: longer than most mails, shorter than systemd's patience.
LAST_SECONDS = 8
# A step takes at most as long as a job may be reserved.
STUCK_SECONDS = 130
LONGEST_PAUSE = 10


class Worker:
    """
    Runs steps until SIGTERM, also while what they need is missing.

    name, build, checks, conf: see application.create
    stats (dict): numbers that /stats answers.
    pages (dict): what is answered beside the rest: path to a callable that returns a dict, or raises Unavailable.
    """

    def __init__(self, name, build, checks, conf, stats, pages=None):
        self.stats = stats
        self.pages = pages or {}
        checks = {"conf": conf.check, **checks}
        self.identity = Identity(name, build, Readiness(checks, build.FAULT), lambda: conf.current().rev)
        self.stop = threading.Event()
        self._moved = {}

    def run(self, step, *beside):
        """
        Call ``step`` until SIGTERM or SIGINT, and pause, longer each time, after one that raises.

        step (callable): gets the threading.Event that is set at the end. beside (callables): the same, each in a thread
        of its own.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._serve()
        if watchdog_seconds():
            threading.Thread(target=self._watch, daemon=True, name="watchdog").start()
        notify("READY=1")
        log.say("started", version=self.identity.build.VERSION)
        others = [threading.Thread(target=self._repeat, args=(other,), daemon=True) for other in beside]
        for other in others:
            other.start()
        self._repeat(step)
        for other in others:
            other.join(LAST_SECONDS / 2)
        log.say("stopped")

    def _repeat(self, step):
        pause, said = 0, ""
        while not self.stop.is_set():
            self._moved[step] = time.monotonic()
            try:
                step(self.stop)
                pause, said = 0, ""
            except Exception as exc:
                why = str(exc) if isinstance(exc, Unavailable) else f"{type(exc).__name__}: {reason(exc)}"
                if why != said:
                    said = why
                    log.say("waiting", reason=why)
                pause = min(LONGEST_PAUSE, pause * 2 or 1)
                self.stop.wait(pause)

    def _end(self, *_):
        notify("STOPPING=1")
        self.stop.set()
        last = threading.Timer(LAST_SECONDS, _give_up)
        last.daemon = True
        last.start()

    def _watch(self):
        while not self.stop.wait(watchdog_seconds() / 3):
            if time.monotonic() - min([*self._moved.values()], default=time.monotonic()) < STUCK_SECONDS:
                notify("WATCHDOG=1")

    def _serve(self):
        worker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self):
                parts = urllib.parse.urlsplit(self.path)
                status, document = worker.answer(parts.path, urllib.parse.parse_qs(parts.query))
                content = json.dumps(document).encode() + b"\n"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Insync-Release", worker.identity.stamp)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
        threading.Thread(target=server.serve_forever, daemon=True, name="http").start()

    def answer(self, path, query):
        """Return (status, dict) of GET ``path``."""
        identity = self.identity
        answers = {
            "/healthz": lambda: identity.healthz(*query.get("release", [])[:1]),
            "/readyz": identity.readyz,
            "/version": identity.version,
            "/stats": lambda: (200, dict(self.stats)),
            **{page: functools.partial(_page, answer) for page, answer in self.pages.items()},
        }
        return answers.get(path, lambda: (404, {"error": "no such page"}))()


def _page(answer):
    try:
        return 200, answer()
    except Unavailable as exc:
        return 503, {"error": str(exc), "missing": exc.name}


def _give_up():
    # The job in hand goes back to the queue when the connection ends.
    log.say("stopped", reason="what was in hand took too long")
    os._exit(0)
