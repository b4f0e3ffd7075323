"""
An application with one slot moves to a release, or restarts: one server after the other, and all back if one fails.

For what takes jobs from a queue, or is asked by programs that wait: it may be away for a moment. What must not be, has
two slots: insync_rollout.
"""

import insync_jobs
from insync_release_run import Failed, Place, ReleaseRun, lacking, refusing, source


class Rolling(ReleaseRun):
    """One run of a release verb on one application (insync_pool.Application)."""

    def look(self):
        """Return the Place of the application, after ending what a killed run began; Refused if servers differ."""
        with self.journal.phase("look", self._servers()):
            found = self._status()
            serving = self.app.serving().get("release")
            behind = [server for server, status in found.items() if status["release"] != serving]
            if 0 < len(behind) < len(found) and not self.test:
                well = next(server for server in found if server not in behind)
                self.journal.say(f"an earlier run ended early: {', '.join(behind)} goes back to {serving}")
                with refusing("what an earlier run began cannot be put back:\n"):
                    self._swap(behind, serving, found[well]["previous"])
                found = self._status()
            release = self._of_one_release({server: status["release"] for server, status in found.items()})
            previous = self._before(release, found.values())
            return Place(release, previous, lacking(previous, found), source(next(iter(found.values()))))

    def _status(self):
        with refusing():
            return self.app.servers_status()

    def _move(self, before, release, previous):
        moved = release != before.release
        changes = {"release": {"old": before.release, "new": release}} if moved else {}
        told = {"release": release, "changes": changes or {"restarted": list(self.app.servers)}}
        if self.test:
            return told
        done = []
        for server in self.app.servers:
            try:
                with self.journal.phase(f"restart {server}"):
                    self._swap([server], release, previous)
                done.append(server)
            except insync_jobs.JobError as exc:
                raise Failed(f"restart failed:\n{exc}\n{self._back(done, before)}") from exc
        with self._aside(told):
            self.app.remember("main", release)
        return told

    def _swap(self, servers, release, previous):
        self.app.on_servers("insync_slot.swap", release, previous=previous, by=self.by, servers=servers)

    def _back(self, servers, before):
        """Let ``servers`` run the former release again; return what is to be said of it."""
        if servers:
            with self.journal.phase("back", ", ".join(servers)):
                try:
                    self._swap(servers, before.release, before.previous)
                except insync_jobs.JobError as exc:
                    return f"not all could be put back:\n{exc}\nsee 'salt-run insync.release_status'"
        return f"release {before.release} runs as before"
