"""`jt` of the conf server's virtualenv: what it holds, and what a load would change or has changed."""

import json
import subprocess

# What its exit codes mean.
NOT_THERE, BAD_INPUT, UNREACHABLE, REFUSED = 1, 2, 3, 4
REMEDIES = {
    NOT_THERE: "; the conf server learns of a new one when it starts: 'salt-run insync.restart conf_server'",
    BAD_INPUT: "; mend pillar/role/conf_server.sls, nothing was loaded",
}
SECONDS = 60
CHANGED = ("added", "updated", "removed")


class JtError(ValueError):
    """jt fails; the message is its own line, and what to do."""


class NotYet(JtError):
    """The conf server does not answer, or does not let us in."""


class Jt:
    """One namespace on the conf server."""

    def __init__(self, load, environment, dump=()):
        """
        load, dump (list of str): how jt is called to load JSON from standard input, and to print all values as JSON.
        environment (dict): what it finds in its environment; nothing else is there.
        """
        self._load, self._dump, self._environment = list(load), list(dump), dict(environment)

    def values(self):
        """Return all values (dict). Raises JtError."""
        found = self._run(self._dump)
        if not isinstance(found, dict):
            raise JtError("jt prints something else than values by their names")
        return found

    def load(self, values, prune=False, dry_run=False):
        """
        Add and update ``values`` (dict); return the names (dict of list: added, updated, removed) and ``rev`` (int).

        prune (bool): remove those that ``values`` lacks. dry_run (bool): only tell what would change.
        Raises JtError.
        """
        flags = [flag for flag, wanted in (("--prune", prune), ("--dry-run", dry_run)) if wanted]
        found = self._run([*self._load, *flags], json.dumps(values, sort_keys=True))
        try:
            return {**{key: list(found.get(key, ())) for key in CHANGED}, "rev": found["rev"]}
        except (KeyError, TypeError, AttributeError) as exc:
            raise JtError(f"jt answers something else than what would change: {json.dumps(found)[:100]}") from exc

    def _run(self, command, document=""):
        # Values are secrets: they go in by standard input, and no part of them is ever told.
        options = {"env": self._environment, "capture_output": True, "text": True, "check": False, "timeout": SECONDS}
        try:
            done = subprocess.run(command, input=document, **options)
        except subprocess.TimeoutExpired as exc:
            raise NotYet(f"{command[0]}: no end after {SECONDS} s") from exc
        except OSError as exc:
            raise JtError(f"{command[0]}: {exc.strerror}; the highstate of this server installs it") from exc
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[:400]
            error = NotYet if done.returncode in (UNREACHABLE, REFUSED) else JtError
            raise error(f"{said or 'jt said nothing'}{REMEDIES.get(done.returncode, '')}")
        try:
            return json.loads(done.stdout)
        except ValueError as exc:
            raise JtError(f"jt answers something else than JSON ({len(done.stdout)} characters)") from exc
