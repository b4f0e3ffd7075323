"""
An application with one slot moves to a release, or restarts: one server after the other, and all back if one fails.

For what takes jobs from a queue, or is asked by programs that wait: it may be away for a moment. What must not be, has
two slots: insync_rollout.
"""

import insync_jobs
import insync_packages
from insync_rollout import Failed, Refused


class Rolling:
    """One run of a release verb on one application."""

    def __init__(self, application, journal, by, test=False):
        """
        application (insync_pool.Application): its servers.
        journal (insync_journal.Journal): what is told and kept.
        by (str): who it is.
        test (bool): only look and resolve, and tell what would be done.
        """
        self.application, self.journal, self.by, self.test = application, journal, by, test

    def restart(self):
        """Restart it on all servers with the release that it has; return what was done (dict)."""
        before = self.look()
        return self._move(before, before["release"], before["previous"])

    def update(self, words):
        """Move to a release in which ``words`` (list of str, as insync_packages.parse takes them) are updated."""
        before = self.look()
        with self.journal.phase("resolve", " ".join(words) or "the newest of everything"):
            old, new = self._resolved(before, words)
        packages = insync_packages.changes(old, new)
        if not packages:
            return {"release": before["release"], "changes": {}, "packages": {}}
        release = "the one that is built"
        if not self.test:
            with self.journal.phase("build", self._servers()):
                release = self._built(new)
        return self._move(before, release, before["release"]) | {"packages": packages}

    def rollback(self):
        """Move back to the release before; the one that is left becomes the one before."""
        before = self.look()
        if not before["previous"]:
            raise Refused(f"{self.application.name} has no release to come back to")
        return self._move(before, before["previous"], before["release"])

    def look(self):
        """
        Return what all servers run (dict: release, previous, package, index, ca), after ending what a killed run began.

        Raises Refused if it is not the same.
        """
        with self.journal.phase("look", self._servers()):
            found = self._status()
            serving = self.application.serving().get("release")
            behind = [server for server, status in found.items() if status["release"] != serving]
            if 0 < len(behind) < len(found) and not self.test:
                self.journal.say(f"an earlier run ended early: {', '.join(behind)} goes back to {serving}")
                self._heal(behind, serving)
                found = self._status()
            if len({status["release"] for status in found.values()}) > 1:
                each = ", ".join(f"{server} {status['release']}" for server, status in found.items())
                raise Refused(f"{self.application.name} is mixed: {each}; 'salt-run insync.release_status' shows it")
            first = next(iter(found.values()))
            return {key: first[key] for key in ("release", "previous", "package", "index", "ca")}

    def _status(self):
        try:
            return self.application.on_servers("insync_slot.status")
        except insync_jobs.JobError as exc:
            raise Refused(str(exc)) from exc

    def _heal(self, servers, release):
        try:
            self._swap(servers, release, None)
        except insync_jobs.JobError as exc:
            raise Refused(f"what an earlier run began cannot be put back:\n{exc}") from exc

    def _resolved(self, before, words):
        try:
            pins = self.application.lock(before["release"])
            wanted = insync_packages.parse(words, pins)
            source = {key: before[key] for key in ("package", "index", "ca")}
            return pins, self.application.resolve(pins, wanted, **source)
        except (insync_jobs.JobError, insync_packages.PackageError) as exc:
            raise Refused(str(exc)) from exc

    def _built(self, pins):
        try:
            answers = self.application.on_servers("insync_slot.build", pins)
        except insync_jobs.JobError as exc:
            raise Refused(f"build failed, nothing has moved:\n{exc}") from exc
        return next(iter(answers.values()))["release"]

    def _move(self, before, release, previous):
        moved = release != before["release"]
        changes = {"release": {"old": before["release"], "new": release}} if moved else {}
        told = {"release": release, "changes": changes or {"restarted": list(self.application.servers)}}
        done = []
        for server in self.application.servers if not self.test else []:
            try:
                with self.journal.phase(f"restart {server}"):
                    self._swap([server], release, previous)
                done.append(server)
            except insync_jobs.JobError as exc:
                raise Failed(f"restart failed:\n{exc}\n{self._back(done, before)}") from exc
        if not self.test:
            self._finish(release)
        return told

    def _swap(self, servers, release, previous):
        self.application.on_servers("insync_slot.swap", release, previous=previous, by=self.by, servers=servers)

    def _back(self, servers, before):
        """Let ``servers`` run the former release again; return what is to be said of it."""
        if servers:
            with self.journal.phase("back", ", ".join(servers)):
                try:
                    self._swap(servers, before["release"], before["previous"])
                except insync_jobs.JobError as exc:
                    return f"not all could be put back:\n{exc}\nsee 'salt-run insync.release_status'"
        return f"release {before['release']} runs as before"

    def _finish(self, release):
        """What has no say any more in whether it went well: it is told."""
        try:
            self.application.remember("main", release)
            self.application.on_servers("insync_slot.prune")
        except insync_jobs.JobError as exc:
            self.journal.say(f"warning: {exc}")

    def _servers(self):
        return ", ".join(self.application.servers)
