"""What a run of a release verb does in the same way whatever it moves: resolve, build, refuse, tell, tidy up."""

import contextlib
import dataclasses

import insync_jobs
import insync_packages


class Refused(ValueError):
    """Nothing was touched; the message says why, and what to do."""


class Failed(ValueError):
    """A step failed; the message says which, where and why, and how it stands now."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Which release an application has, the same on all of its servers, and where its packages come from."""

    release: str
    previous: str | None
    # The servers where the release before is not there, as on one that was made anew.
    lacking: tuple
    source: dict


class ReleaseRun:
    """One run of a release verb on one application; how its servers move is told by the classes below it."""

    # How the release that an update leads to is to be moved to, other than by a restart.
    of_update = {}
    of_rollback = {}

    def __init__(self, app, journal, by, test=False):
        """
        app (insync_pool.Application): its servers.
        journal (insync_journal.Journal): what is told and kept.
        by (str): who it is.
        test (bool): only look and resolve, and tell what would be done.
        """
        self.app, self.journal, self.by, self.test = app, journal, by, test

    def restart(self):
        """Restart it on all servers with the release that it has; return what was done (dict)."""
        before = self.look()
        return self._move(before, before.release, before.previous)

    def update(self, words):
        """Move to a release in which ``words`` (list of str, as insync_packages.parse takes them) are updated."""
        before = self.look()
        with self.journal.phase("resolve", " ".join(words) or "the newest of everything"), refusing():
            pins = self.app.lock(before.release)
            new = self.app.resolve(pins, insync_packages.parse(words, pins), **before.source)
        packages = insync_packages.changes(pins, new)
        if not packages:
            return {"release": before.release, "changes": {}, "packages": {}}
        release = "the one that is built"
        if not self.test:
            with self.journal.phase("build", self._servers()), refusing("build failed, nothing has moved:\n"):
                release = next(iter(self.app.on_servers("insync_slot.build", new).values()))["release"]
        return self._move(before, release, before.release, **self.of_update) | {"packages": packages}

    def rollback(self):
        """Move back to the release before; the one that is left becomes the one before."""
        before = self.look()
        if not before.previous:
            raise Refused(f"{self.app.key} has no release to come back to")
        if before.lacking and not self.test:
            with self.journal.phase("build", ", ".join(before.lacking)), refusing("build failed, nothing has moved:\n"):
                lock = self.app.lock(before.previous)
                self.app.on_servers("insync_slot.build", lock, servers=list(before.lacking))
        return self._move(before, before.previous, before.release, **self.of_rollback)

    def look(self):
        """Return the Place of the application, after ending what a killed run began; Refused if it is not well."""
        raise NotImplementedError

    def _move(self, before, release, previous, **options):
        raise NotImplementedError

    def _of_one_release(self, releases):
        """Return the one release (str) of ``releases`` (dict: server -> str); Refused if there are several."""
        if len(set(releases.values())) > 1:
            said = f"{self.app.key} is mixed: {listed(releases)}"
            raise Refused(f"{said}; 'salt-run insync.release_status' shows it")
        return next(iter(releases.values()))

    def _before(self, release, records):
        """Return the release to come back to from ``release`` (str), as ``records`` (list of dict) or ct1 knows it."""
        kept = self.app.serving()
        former = kept.get("former", {}).get("release") if kept.get("release") == release else None
        return next((record["previous"] for record in records if record["previous"]), former)

    @contextlib.contextmanager
    def _aside(self, told=None):
        """Let what has no say any more in whether it went well fail with a warning, which goes into ``told`` (dict)."""
        try:
            yield
        except insync_jobs.JobError as exc:
            self.journal.say(f"warning: {exc}")
            (told if told is not None else {})["warning"] = str(exc)

    def _servers(self):
        return ", ".join(self.app.servers)


@contextlib.contextmanager
def refusing(why=""):
    """Let what servers say against it be a refusal that begins with ``why`` (str)."""
    try:
        yield
    except (insync_jobs.JobError, insync_packages.PackageError) as exc:
        raise Refused(f"{why}{exc}") from exc


def lacking(release, found):
    """Return those of ``found`` ({server: its insync_slot.status}) that have not ``release`` (str or None)."""
    return tuple(server for server, status in found.items() if release and release not in status["releases"])


def listed(found):
    """Return ``{server: what it says}`` as a line (str)."""
    return ", ".join(f"{server} {said}" for server, said in found.items())


def source(status):
    """Return where the packages come from that ``status`` (dict), an answer of insync_slot.status, is of (dict)."""
    return {key: status[key] for key in ("package", "index", "ca")}
