"""
A pool moves to a release, or restarts, without a lost request: step by step, and back if a step fails.

Every server has two slots. The release starts in the idle one of all of them, is looked at there, and then one key of
the load balancer's map is flipped for all: no moment has two releases, nor fewer servers. Until it is committed the
old slots run on, so the way back is another flip.
"""

import dataclasses

import insync_jobs
import insync_packages

# For so long (seconds) a request that outlives the wait for it may take.
LONGEST = 600


class Refused(ValueError):
    """Nothing was touched; the message says why, and what to do."""


class Failed(ValueError):
    """A step failed; the message says which, where and why, and how it stands now."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a pool is, the same on all of its servers, and where its packages come from."""

    slot: str
    idle: str
    release: str
    previous: str | None
    source: dict


class Rollout:
    """One run of a release verb on one pool."""

    def __init__(self, pool, journal, by, watch=5, keep=600, test=False):
        """
        pool (insync_pool.Pool): its servers and its load balancer.
        journal (insync_journal.Journal): what is told and kept.
        by (str): who it is.
        watch (float): for how many seconds a new release is watched before it stays.
        keep (int): for how many seconds the old one runs on, to be come back to at once.
        test (bool): only look and resolve, and tell what would be done.
        """
        self.pool, self.journal, self.by = pool, journal, by
        self.watch, self.keep, self.test = watch, keep, test

    def restart(self):
        """Restart all servers of the pool with the release that they have; return what was done (dict)."""
        before = self.look()
        return self._move(before, before.release, before.previous)

    def restart_some(self, servers):
        """Restart only ``servers`` (list of str) of the pool, one after the other; the rest serves meanwhile."""
        before, waited = self.look(), {}
        for server in servers if not self.test else []:
            try:
                with self.journal.phase(f"drain {server}"):
                    drained = self.pool.drain(server, self.by)
                    waited[server] = drained["waited_for"]
                    if drained["left"]:
                        self.pool.undrain(server)
                        raise Failed(f"{drained['left']} requests do not end on {server}: it was not restarted")
            except insync_jobs.JobError as exc:
                raise Failed(f"drain failed, {server} was not restarted:\n{exc}") from exc
            try:
                with self.journal.phase(f"restart {server}"):
                    self.pool.on_servers("insync_slot.restart", servers=[server])
                    self.pool.undrain(server)
            except insync_jobs.JobError as exc:
                told = f"{server} is in maintenance: mend it, then 'salt-run insync.undrain {server}'"
                raise Failed(f"restart failed:\n{exc}\n{told}") from exc
        return {"release": before.release, "changes": {"restarted": list(servers)}, "in_flight": sum(waited.values())}

    def update(self, words):
        """Move to a release in which ``words`` (list of str, as insync_packages.parse takes them) are updated."""
        before = self.look()
        with self.journal.phase("resolve", " ".join(words) or "the newest of everything"):
            old, new = self._resolved(before, words)
        packages = insync_packages.changes(old, new)
        if not packages:
            return {"release": before.release, "changes": {}, "packages": {}}
        if self.test:
            return self._planned(before, "the one that is built") | {"packages": packages}
        with self.journal.phase("build", self._servers()):
            release = self._built(new)
        done = self._move(before, release, before.release, watch=self.watch, keep=self.keep)
        self._prune()
        return done | {"packages": packages}

    def rollback(self):
        """Move back to the release before; the one that is left becomes the one before."""
        before = self.look()
        if not before.previous:
            raise Refused(f"{self.pool.name} has no release to come back to")
        return self._move(before, before.previous, before.release, keep=self.keep, alive=True)

    def look(self):
        """Return the Place of the pool, after ending what a killed run has begun; Refused if the pool is not well."""
        with self.journal.phase("look", self._servers()):
            place, behind = self._place()
            if behind and not self.test:
                self.journal.say(f"an earlier run ended early: {', '.join(behind)} is recorded now as it serves")
                self._heal(place, behind)
            return place

    def _heal(self, place, behind):
        try:
            self._commit(place.slot, place.release, place.previous, servers=behind)
        except insync_jobs.JobError as exc:
            raise Refused(f"what serves cannot be recorded:\n{exc}") from exc

    def _place(self):
        balancer, servers = self._status()
        active = balancer["active"]
        serving = {server: found["slots"][active]["release"] for server, found in servers.items()}
        if len(set(serving.values())) > 1:
            raise Refused(f"{self.pool.name} is mixed: {_listed(serving)}; 'salt-run insync.release_status' shows it")
        bad = {server: said for server, said in balancer["servers"].items() if said != "UP"}
        if bad:
            raise Refused(f"not all of {self.pool.name} serves: {_listed(bad)}; mend or undrain that first")
        behind = [server for server, found in servers.items() if found["slot"] != active]
        recorded = next((found for server, found in servers.items() if server not in behind), None)
        first = recorded or next(iter(servers.values()))
        release = next(iter(serving.values()))
        # Of a run that ended between flip and record, what was recorded is what came before.
        previous = first["previous"] if recorded or first["release"] == release else first["release"]
        (idle,) = set(first["slots"]) - {active}
        source = {key: first[key] for key in ("package", "index", "ca")}
        return Place(active, idle, release, previous, source), behind

    def _status(self):
        try:
            return self.pool.status()
        except insync_jobs.JobError as exc:
            raise Refused(str(exc)) from exc

    def _resolved(self, before, words):
        try:
            pins = self.pool.lock(before.release)
            wanted = insync_packages.parse(words, pins)
            return pins, self.pool.resolve(pins, wanted, **before.source)
        except (insync_jobs.JobError, insync_packages.PackageError) as exc:
            raise Refused(str(exc)) from exc

    def _built(self, pins):
        try:
            answers = self.pool.on_servers("insync_slot.build", pins)
        except insync_jobs.JobError as exc:
            raise Refused(f"build failed, nothing has moved:\n{exc}") from exc
        return next(iter(answers.values()))["release"]

    def _move(self, before, release, previous, watch=0, keep=0, alive=False):
        if self.test:
            return self._planned(before, release)
        to, step = before.idle, "start"
        try:
            with self.journal.phase("start", f"{self.pool.name}@{to} on {self._servers()}"):
                self._start(to, release, self._alive(to, release) if alive else [])
            step = "flip"
            with self.journal.phase("flip", f"{before.slot} to {to}"):
                flipped = self.pool.on_balancer("lb.flip", to, before.slot)
            step = "watch"
            if watch:
                with self.journal.phase("watch", f"{watch:g} s"):
                    self.pool.on_balancer("lb.watch", to, before.slot, watch)
            step = "commit"
            with self.journal.phase("commit"):
                self._commit(to, release, previous)
        except insync_jobs.JobError as exc:
            raise Failed(f"{step} failed:\n{exc}\n{self._back(before)}") from exc
        except BaseException:
            self._back(before)
            raise
        done = self._finish(before.slot, keep)
        told = self._planned(before, release)
        return {**told, "flip_milliseconds": flipped["milliseconds"], **done}

    def _planned(self, before, release):
        changes = {"slot": {"old": before.slot, "new": before.idle}}
        if release != before.release:
            changes["release"] = {"old": before.release, "new": release}
        return {"release": release, "changes": changes}

    def _start(self, slot, release, running):
        missing = [server for server in self.pool.servers if server not in running]
        if missing:
            self.pool.on_servers("insync_slot.up", slot, release, servers=missing)

    def _alive(self, slot, release):
        """The servers that still run ``release`` in ``slot``, answer well, and will not be stopped any more."""
        try:
            return list(self.pool.on_servers("insync_slot.hold", slot, release))
        except insync_jobs.JobError as exc:
            return list(exc.answers)

    def _commit(self, slot, release, previous, servers=None):
        self.pool.on_servers("insync_slot.commit", slot, release, previous=previous, by=self.by, servers=servers)
        self.pool.remember(slot, release)

    def _back(self, before):
        """Let the old slot serve again, however far it came; return what is to be said of it."""
        wrong = []
        with self.journal.phase("back", f"to {self.pool.name}@{before.slot}"):
            for step in (self._flip_back, self._commit_back, self._down):
                try:
                    step(before)
                except insync_jobs.JobError as exc:
                    wrong.append(str(exc))
        if wrong:
            told = "\n".join(wrong)
            return f"not all could be put back:\n{told}\nsee 'salt-run insync.release_status'"
        return f"release {before.release} serves as before"

    def _flip_back(self, before):
        if self.pool.balancer_status()["active"] != before.slot:
            self.pool.on_balancer("lb.flip", before.slot, before.idle)

    def _commit_back(self, before):
        self._commit(before.slot, before.release, before.previous)

    def _down(self, before):
        self.pool.on_servers("insync_slot.down", before.idle)

    def _finish(self, old, keep):
        """What has no say any more in whether it went well: it is told."""
        try:
            # One to come back to runs on for so long that nobody has to wait for what it has in flight.
            told, after = self._drained(old, keep) if keep < LONGEST else ({}, keep)
            with self.journal.phase("stop", f"{self.pool.name}@{old}{f' in {after} s' if after else ''}"):
                self.pool.on_servers("insync_slot.down", old, after=after)
        except insync_jobs.JobError as exc:
            self.journal.say(f"warning: {exc}")
            return {"warning": str(exc)}
        return told

    def _drained(self, old, keep):
        """Wait for what is in flight in the slot ``old``; return what is told of it, and when the slot is stopped."""
        with self.journal.phase("drain", f"requests in flight in {old}"):
            waited = self.pool.on_balancer("lb.wait_idle", old)
        # What is still in flight is not cut: it gets the time that a release to come back to has.
        return {"in_flight": waited["waited_for"]}, LONGEST if waited["left"] else keep

    def _prune(self):
        """Remove releases that nobody will come back to; that it fails is told, and no more."""
        try:
            with self.journal.phase("prune"):
                self.pool.on_servers("insync_slot.prune")
        except insync_jobs.JobError as exc:
            self.journal.say(f"warning: {exc}")

    def _servers(self):
        return ", ".join(self.pool.servers)


def _listed(found):
    return ", ".join(f"{server} {said}" for server, said in found.items())
