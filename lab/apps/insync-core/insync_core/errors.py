"""What is missing, by name: the one error that applications answer with 503."""

import contextlib


class Unavailable(Exception):
    """A service that the application needs does not serve it; ``name`` is which, the message is why."""

    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@contextlib.contextmanager
def needed(name, *errors):
    """Turn ``errors`` (and any OSError) of what is done inside into Unavailable of ``name``."""
    try:
        yield
    except (OSError, *errors) as exc:
        raise Unavailable(name, reason(exc)) from exc


def reason(exc):
    """Return what ``exc`` says, as one short line."""
    # PyMySQL's errors are a number and a sentence.
    last = exc.args[-1] if exc.args and isinstance(exc.args[-1], str) else str(exc)
    words = " ".join((last or type(exc).__name__).split())
    return words[:200]
