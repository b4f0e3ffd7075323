"""
A release of the desktop client: on every platform, or on none.

Each step is a job on the server that holds the repositories, and one that finds its work done does nothing: a run that
was cut short is continued by the same call.
"""

import insync_jobs
import insync_journal


class Failed(ValueError):
    """A step failed; the message says which, why, and how it stands now."""


class ClientRelease:
    """One run of a release."""

    def __init__(self, version, server, jobs, journal, known=False):
        """
        version (str): such as 3.9.7.60031.
        server (str): who holds the repositories. jobs (insync_jobs.Jobs): leads there.
        journal (insync_journal.Journal): what is told and kept.
        known (bool): an earlier run released this version: if it is still live, nothing of it is taken back.
        """
        self.version, self.server, self.jobs, self.journal = version, server, jobs, journal
        self.known, self.done = known, {}

    def run(self, test=False):
        """
        Release it; return what each step did (dict).

        test (bool): only look, and tell what would be done.
        Raises Failed; what customers could see of it by then is taken back.
        """
        looked = self._step("preflight", "check_client", self.version)
        platforms = sorted(looked["platforms"])
        if test:
            return self.done
        try:
            self._step("apt", "update_apt_repo", self.version)
            self._step("yum", "update_yum_repo", self.version)
            self._step("sync", "sync_repos")
            self._step("verify", "verify_repos", self.version)
            for platform in platforms:
                self._step(platform, "set_current_version", platform, self.version)
        except Failed as exc:
            if self.known and looked["live"]:
                raise Failed(f"{exc}\n{self.version} stays: it was released before, and is live") from exc
            raise Failed(f"{exc}\n{self._taken_back(platforms)}") from exc
        return self.done

    def _step(self, name, verb, *words):
        with self.journal.phase(name, " ".join([f"insync.{verb}", *words])):
            try:
                found = self._call(verb, *words)
            except insync_jobs.JobError as exc:
                raise Failed(f"{name}: {exc}") from exc
        self.done[name] = _brief(found)
        return found

    def _taken_back(self, platforms):
        """Take back what there is of the version, the last step first; return a line that tells how it stands."""
        leaving = {"leaving": self.version}
        # What customers are told to fetch goes before what they fetch.
        failed = [self._try("rollback_version", (platform,), leaving) for platform in platforms]
        failed.append(self._try("rollback_repos", (), leaving))
        # Sent by this run or by one before it; but never the version itself.
        failed.append("insync.sync_repos: not called" if failed[-1] else self._try("sync_repos", (), {}))
        left = "; ".join(filter(None, failed))
        if left:
            return f"not all of it could be taken back: {left}"
        return f"taken back; when the reason is mended, 'salt-run insync.release_client {self.version}' begins anew"

    def _try(self, verb, words, options):
        """Return what went wrong (str), "" if nothing."""
        said = " ".join([f"insync.{verb}", *words, *(f"{key}={value}" for key, value in options.items())])
        with self.journal.phase(f"take back {verb}", said):
            try:
                self._call(verb, *words, **options)
            except insync_jobs.JobError as exc:
                return f"{said}: {exc}"
        return ""

    def _call(self, verb, *words, **options):
        return self.jobs.call([self.server], f"insync.{verb}", *words, **options)[self.server]


def _brief(found):
    """Return what a verb returned (dict), with the number of suites in the place of what is told of each."""
    brief = {}
    for key, value in found.items():
        if key == "changes":
            brief["suites"] = len(value)
        elif isinstance(value, dict):
            brief[key] = len(value) if any("/" in name for name in value) else _brief(value)
        else:
            brief[key] = value
    return brief


def completed(folder):
    """
    Return the releases that ended well, the oldest first: a list of dict version, since, by, seconds.

    folder (str or pathlib.Path): where they are recorded.
    """
    return [
        {"version": record["version"], "since": record["since"], "by": record["by"], "seconds": record["seconds"]}
        for record in insync_journal.history(folder)
        if record["end"] == "ok" and "version" in record
    ]
