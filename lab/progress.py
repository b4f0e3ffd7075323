"""What a person sees while the lab works: a line for each step, and never silence."""

import contextlib
import shutil
import sys
import threading
import time

HEARTBEAT = 15


class Progress:
    """
    Prints lines with the time since the start; on a terminal one more, live line says what is awaited.

    ``waiting`` (set of str) holds the names that are still awaited; whoever works on them removes them.
    """

    def __init__(self, stream=None, heartbeat=HEARTBEAT):
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.heartbeat = heartbeat
        self.started = time.monotonic()
        self.waiting = set()
        self.phases = {}
        self._said = self.started
        self._lock = threading.Lock()

    def say(self, text):
        """Print a line."""
        with self._lock:
            self._said = time.monotonic()
            self.stream.write(f"{self._clear()}{clock(self._said - self.started)}  {text}\n")
            self.stream.flush()

    def show(self, text):
        """Print ``text`` as it is, without the time."""
        with self._lock:
            self.stream.write(f"{self._clear()}{text}\n")
            self.stream.flush()

    @contextlib.contextmanager
    def phase(self, name, waiting=()):
        """Time the phase ``name``; while it runs, say at least every 15 s who is awaited."""
        self.waiting = set(waiting)
        before, done = time.monotonic(), threading.Event()
        pulse = threading.Thread(target=self._pulse, args=(name, before, done), daemon=True)
        pulse.start()
        try:
            yield
        finally:
            done.set()
            pulse.join()
            self.waiting = set()
            self.phases[name] = round(time.monotonic() - before, 1)

    def _pulse(self, name, before, done):
        while not done.wait(1 if self.live else min(1, self.heartbeat)):
            now = time.monotonic()
            text = f"{name}, {now - before:.0f} s{_awaited(self.waiting)}"
            if self.live:
                width = shutil.get_terminal_size().columns - 1
                with self._lock:
                    self.stream.write(
                        f"{self._clear()}{clock(now - self.started)}  {text}"[: width + len(self._clear())]
                    )
                    self.stream.flush()
            elif now - self._said >= self.heartbeat:
                self.say(text)

    def _clear(self):
        return "\r\033[K" if self.live else ""


def clock(seconds):
    """Return seconds as minutes:seconds, for the start of a line."""
    return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"


def _awaited(names):
    names = sorted(names)
    if not names:
        return ""
    rest = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f", still waiting for {', '.join(names[:8])}{rest}"
