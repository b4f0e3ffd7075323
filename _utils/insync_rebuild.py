"""How a server that was lost entirely comes back from nothing, step by step, and how to go on where one fails."""

import contextlib

import insync_jobs

# A highstate that changes what an earlier one has just made is run again, so often.
HIGHSTATES = 3
# Seconds: until a service that has just been started may be asked for the last time.
HEALTHY = 60


class Refused(ValueError):
    """Nothing was changed; the message says why, and what to do."""


class Failed(ValueError):
    """A step failed; the message says which, why, and how to go on."""


class Rebuild:
    """One run of the verb."""

    def __init__(self, host, jobs, journal, minion, has_data, pair=None, rejoin=None):
        """
        host (str): the server. jobs (insync_jobs.Jobs, or what calls as it does). journal (insync_journal.Journal).
        minion (object): how ``host`` becomes one: answers(), reach(), enrol().
        has_data (bool): whether backups of its data are declared.
        pair (insync_db_pair.Pair): if it is a database of one. rejoin (callable): lets it follow after a loss.
        """
        self.host, self.jobs, self.journal, self.minion = host, jobs, journal, minion
        self.has_data, self.pair, self.rejoin = has_data, pair, rejoin

    def check(self, again):
        """
        Find out whether it may be rebuilt, and can be.

        again (bool): whether a former run was cut off after the server had become a minion: then it may answer.
        Raises Refused.
        """
        with self.journal.phase("look", self.host):
            if self.pair and self.pair.primary == self.host:
                first = f"'salt-run insync.failover_db {self.pair.replicas[0]}' first"
                raise Refused(f"{self.host} is the declared primary of the database: {first}; nothing was done")
            if self.minion.answers() and not again:
                raise Refused(
                    f"{self.host} answers: it is not lost, and its highstate mends what is not as declared. "
                    "If it is to go all the same, make its droplet anew first. Nothing was done"
                )
            if not again:
                self.minion.reach()

    def steps(self, again):
        """Return what ``run`` would do (list of str)."""
        data = ["restore of its data"] if self.has_data else []
        rejoin = ["rejoin"] if self._fenced() else []
        return [*([] if again else ["minion"]), "highstate", *data, *rejoin, "highstate again", "check"]

    def run(self, again):
        """
        Do it; return what was done (dict: server, changed, restored).

        again (bool): as for ``check``. Raises Failed.
        """
        if not again:
            with self._step("minion", "ssh, Salt, keys compared by fingerprint"):
                self.minion.enrol()
        changed = self._converge("highstate", once=True)
        restored = self._restore() if self.has_data else {}
        if self._fenced():
            with self._step("rejoin", f"follows {self.pair.primary}"):
                self.rejoin()
        changed += self._converge("highstate again")
        with self._step("check", "what listens, and whether it works"):
            self._listens()
            self._call("insync.health", wait=HEALTHY)
        return {"server": self.host, "changed": changed, "restored": restored}

    def _fenced(self):
        return bool(self.pair) and self.host in self.pair.fenced

    def _converge(self, name, once=False):
        """Apply the highstate, until it changes nothing if not ``once``; return how many states have changed (int)."""
        total = 0
        for _ in range(1 if once else HIGHSTATES):
            with self._step(name, self.host):
                changed = self._call("insync_states.apply")
            total += len(changed)
            if not changed:
                return total
        if not once:
            raise Failed(f"{name}: {', '.join(changed[:5])} changed something in {HIGHSTATES} runs one after the other")
        return total

    def _restore(self):
        """Bring back the newest backup of each kind of data; return {kind: {backup, age_hours, aside}}."""
        restored = {}
        with self._step("look for backups"):
            there = self._call("insync.backups", limit=1).get("data", {})
        missing = [kind for kind, found in there.items() if not found]
        if missing:
            raise Failed(
                f"restore: there is no backup of {', '.join(missing)}. The server runs, without this data; "
                f"nothing else was restored. 'salt {self.host} insync.backup_restore kind=...' restores a single kind"
            )
        for kind in there:
            with self._step(f"restore {kind}"):
                done = self._call("insync.backup_restore", kind=kind, aside=True, test=False)
            restored[kind] = {key: done[key] for key in ("backup", "age_hours", "aside")}
        return restored

    def _listens(self):
        ports = self._call("insync.ports")
        for key in ("missing", "undeclared"):
            if ports[key]:
                raise Failed(f"check: {key}: {', '.join(ports[key])}; 'salt {self.host} insync.ports' shows it")

    def _call(self, function, **keywords):
        return self.jobs.call([self.host], function, **keywords)[self.host]

    @contextlib.contextmanager
    def _step(self, name, said=""):
        """Say what goes on; what goes wrong in it is told with its name, and with how to go on."""
        with self.journal.phase(name, said):
            try:
                yield
            except (insync_jobs.JobError, OSError, ValueError) as exc:
                told = str(exc).removeprefix(f"{self.host}: ")
                raise Failed(f"{name}: {told}; 'salt-run insync.rebuild {self.host}' again goes on") from exc
