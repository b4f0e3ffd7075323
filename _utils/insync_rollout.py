"""
A pool moves to a release, or restarts, without a lost request: step by step, and back if a step fails.

Every server has two slots. The release starts in the idle one of all of them, is looked at there, and then one key of
the load balancer's map is flipped for all: no moment has two releases, nor fewer servers. Until it is committed the
old slots run on, so the way back is another flip.
"""

import contextlib
import dataclasses

import insync_jobs
from insync_release_run import Failed, Place, Refused, ReleaseRun, lacking, listed, refusing, source

# For so long (seconds) a request that outlives the wait for it may take.
LONGEST = 600


@dataclasses.dataclass(frozen=True)
class SlotPlace(Place):
    """The slot that serves, and the one beside it."""

    slot: str
    idle: str


class Rollout(ReleaseRun):
    """One run of a release verb on one pool (insync_pool.Pool)."""

    def __init__(self, pool, journal, by, watch=5, keep=600, test=False):
        """
        pool, journal, by, test: as for ReleaseRun.
        watch (float): for how many seconds a new release is watched before it stays.
        keep (int): for how many seconds the old one runs on, to be come back to at once.
        """
        super().__init__(pool, journal, by, test)
        self.of_update = {"watch": watch, "keep": keep}
        self.of_rollback = {"keep": keep, "alive": True}

    def restart_some(self, servers):
        """Restart only ``servers`` (list of str) of the pool, one after the other; the rest serves meanwhile."""
        before, waited = self.look(), {}
        for server in servers if not self.test else []:
            waited[server] = self._drain(server)
            try:
                with self.journal.phase(f"restart {server}"):
                    self.app.on_servers("insync_slot.restart", servers=[server])
                    self.app.undrain(server)
            except insync_jobs.JobError as exc:
                told = f"{server} is in maintenance: mend it, then 'salt-run insync.undrain {server}'"
                raise Failed(f"restart failed:\n{exc}\n{told}") from exc
        told = {"release": before.release, "slot": {"old": before.slot, "new": before.slot}}
        return {**told, "changes": {"restarted": list(servers)}, "in_flight": waited}

    def _drain(self, server):
        """Take ``server`` out; return how many requests were waited for. In again, whatever hinders that."""
        try:
            with self.journal.phase(f"drain {server}"):
                drained = self.app.drain(server, self.by)
                if drained["left"]:
                    raise Failed(f"{drained['left']} requests do not end on {server}: it was not restarted")
                return drained["waited_for"]
        except BaseException as exc:
            with contextlib.suppress(insync_jobs.JobError):
                self.app.undrain(server)
            if not isinstance(exc, insync_jobs.JobError):
                raise
            raise Failed(f"drain failed, {server} was not restarted:\n{exc}") from exc

    def look(self):
        """Return the Place of the pool, after ending what a killed run has begun; Refused if the pool is not well."""
        with self.journal.phase("look", self._servers()):
            place, behind = self._place()
            if not self.test:
                self._heal(place, behind)
            return place

    def _heal(self, place, behind):
        kept = self.app.serving()
        with refusing("what serves cannot be recorded:\n"):
            if behind:
                self.journal.say(f"an earlier run ended early: {', '.join(behind)} is recorded now as it serves")
                self._commit(place.slot, place.release, place.previous, servers=behind)
            elif (kept.get("slot"), kept.get("release")) != (place.slot, place.release):
                self.app.remember(place.slot, place.release)

    def _place(self):
        with refusing():
            balancer, servers = self.app.status()
        active = balancer["active"]
        release = self._of_one_release({server: found["slots"][active]["release"] for server, found in servers.items()})
        behind = [server for server, found in servers.items() if found["slot"] != active]
        bad = {server: said for server, said in balancer["servers"].items() if said != "UP"}
        if bad:
            mend = (
                f"'systemctl start {self.app.name}@{active}' there"
                if set(bad) & set(behind)
                else "mend or undrain that"
            )
            raise Refused(f"not all of {self.app.key} serves: {listed(bad)}; {mend} first")
        recorded = [found for server, found in servers.items() if server not in behind]
        first = next(iter(servers.values()))
        # Of a run that ended between flip and record, what was recorded is what came before.
        known = recorded or first["release"] == release
        previous = self._before(release, recorded or servers.values()) if known else first["release"]
        (idle,) = set(first["slots"]) - {active}
        return SlotPlace(release, previous, lacking(previous, servers), source(first), active, idle), behind

    def _move(self, before, release, previous, watch=0, keep=0, alive=False):
        if self.test:
            return self._planned(before, release)
        to, step = before.idle, "start"
        try:
            with self.journal.phase("start", f"{self.app.name}@{to} on {self._servers()}"):
                self._start(to, release, self._alive(to, release) if alive else [])
            step = "flip"
            with self.journal.phase("flip", f"{before.slot} to {to}"):
                flipped = self.app.on_balancer("lb.flip", to, before.slot)
            step = "watch"
            if watch:
                with self.journal.phase("watch", f"{watch:g} s"):
                    self.app.on_balancer("lb.watch", to, before.slot, watch)
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
        slot = {"old": before.slot, "new": before.idle}
        changes = {"slot": slot}
        if release != before.release:
            changes["release"] = {"old": before.release, "new": release}
        return {"release": release, "slot": slot, "changes": changes}

    def _start(self, slot, release, running):
        missing = [server for server in self.app.servers if server not in running]
        if missing:
            self.app.on_servers("insync_slot.up", slot, release, servers=missing)

    def _alive(self, slot, release):
        """The servers that still run ``release`` in ``slot``, answer well, and will not be stopped any more."""
        try:
            return list(self.app.on_servers("insync_slot.hold", slot, release))
        except insync_jobs.JobError as exc:
            return list(exc.answers)

    def _commit(self, slot, release, previous, servers=None):
        self.app.on_servers("insync_slot.commit", slot, release, previous=previous, by=self.by, servers=servers)
        self.app.remember(slot, release)

    def _back(self, before):
        """Let the old slot serve again, however far it came; return what is to be said of it."""
        wrong = []
        with self.journal.phase("back", f"to {self.app.name}@{before.slot}"):
            try:
                self._flip_back(before)
            except insync_jobs.JobError as exc:
                # What may be asked is neither stopped nor recorded as idle.
                told = f"which slot is asked is not known, and both run on:\n{exc}"
                return f"{told}\nonce it answers, 'salt-run insync.restart {self.app.key}' records what serves"
            for step in (self._commit_back, self._down):
                try:
                    step(before)
                except insync_jobs.JobError as exc:
                    wrong.append(str(exc))
        if wrong:
            told = "\n".join(wrong)
            return f"not all could be put back:\n{told}\nsee 'salt-run insync.release_status'"
        return f"release {before.release} serves as before"

    def _flip_back(self, before):
        # Also where the old slot is asked: a reload meanwhile may have left the file wrong, which the flip mends.
        self.app.on_balancer("lb.flip", before.slot, self.app.balancer_status()["active"])

    def _commit_back(self, before):
        self._commit(before.slot, before.release, before.previous)

    def _down(self, before):
        self.app.on_servers("insync_slot.down", before.idle)

    def _finish(self, old, keep):
        """Stop the slot ``old``, now or later; return what is told of it."""
        told = {}
        with self._aside(told):
            # One to come back to runs on for so long that nobody has to wait for what it has in flight.
            in_flight, after = self._drained(old, keep) if keep < LONGEST else ({}, keep)
            with self.journal.phase("stop", f"{self.app.name}@{old}{f' in {after} s' if after else ''}"):
                # Nobody asks it any more: its end is systemd's business.
                self.app.on_servers("insync_slot.down", old, after=after, wait=False)
            told |= in_flight
        return told

    def _drained(self, old, keep):
        """Wait for what is in flight in the slot ``old``; return what is told of it, and when the slot is stopped."""
        with self.journal.phase("drain", f"requests in flight in {old}"):
            waited = self.app.on_balancer("lb.wait_idle", old)
        # What is still in flight is not cut: it gets the time that a release to come back to has.
        return {"in_flight": waited["servers"]}, LONGEST if waited["left"] else keep
