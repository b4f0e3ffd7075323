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

    def __init__(self, version, server, jobs, journal, completed=False):
        """
        version (str): such as 3.9.7.60031.
        server (str): who holds the repositories. jobs (insync_jobs.Jobs): leads there.
        journal (insync_journal.Journal): what is told and kept.
        completed (bool): an earlier run released this version: nothing of it is taken back if this one fails.
        """
        self.version, self.server, self.jobs, self.journal = version, server, jobs, journal
        self.completed, self.done = completed, {}

    def run(self, test=False):
        """
        Release it; return what each step did (dict).

        test (bool): only look, and tell what would be done.
        Raises Failed; what customers could see of it by then is taken back.
        """
        platforms = sorted(self._step("preflight", "check_client", self.version)["platforms"])
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
            if self.completed:
                raise
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
        steps = [("rollback_version", (platform,), leaving) for platform in platforms]
        steps += [("rollback_repos", (), leaving)]
        # As long as nothing was sent there is nothing to send after it.
        steps += [("sync_repos", (), {})] if "sync" in self.journal.record["phases"] else []
        failed = [said for step in steps if (said := self._try(*step))]
        if failed:
            return f"not all of it could be taken back: {'; '.join(failed)}"
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
