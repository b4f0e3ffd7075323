"""What the tests of the release verbs' steps share: the verbs, where they lead to, and a journal that nobody reads."""

import contextlib

OLD, NEW, OLDER = "old", "new", "older"
VERBS = {
    "restart": lambda run: run.restart(),
    "update": lambda run: run.update([f"insync-{run.app.name}==1.1.0"]),
    "rollback": lambda run: run.rollback(),
}
# The release afterwards, and the one to come back to.
EXPECTED = {"restart": (OLD, OLDER), "update": (NEW, OLD), "rollback": (OLDER, OLD)}


class Quiet:
    """A journal that nobody reads."""

    @contextlib.contextmanager
    def phase(self, name, said=""):
        yield

    def say(self, line):
        """Be quiet."""
