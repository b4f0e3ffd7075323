"""Which version of Insync is current on each platform: the declared one, or one that was set since it was declared."""

import datetime
import json

import insync_files
import insync_journal
import insync_verb
import insync_version

AREA = "versions"
SET, ROLLBACK, DECLARED = "set", "rollback", "declared"


class Versions:
    """The declared versions, and what is recorded beside them; who changes them holds the lock of ``AREA``."""

    def __init__(self, declared):
        """
        declared (dict): platform -> version (str).
        Raises insync_version.VersionError naming the platform whose version is none.
        """
        for platform, version in declared.items():
            try:
                insync_version.parse(version)
            except insync_version.VersionError as exc:
                raise insync_version.VersionError(f"current_versions.declared.{platform}: {exc}") from exc
        self._declared, self._folder = dict(declared), insync_verb.RECORDS / AREA

    def holding(self):
        """
        Return what holds now: platform -> dict of version, declared, since and by (str).

        A record holds as long as the version that was declared then is still declared; since is None without one.
        """
        recorded = self.recorded()
        plain = {name: _entry(version, version, None, "pillar") for name, version in self._declared.items()}
        return {name: recorded[name] if _holds(recorded.get(name), one) else one for name, one in plain.items()}

    def current(self):
        """Return platform -> current version (dict of str)."""
        return {platform: one["version"] for platform, one in self.holding().items()}

    def recorded(self):
        """Return what is recorded, as ``write`` takes it. Raises insync_version.VersionError if it cannot be read."""
        file = self._folder / "current.json"
        try:
            return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        except ValueError as exc:
            raise insync_version.VersionError(f"{file}: is no JSON; without it the declared versions hold") from exc

    def write(self, recorded):
        """Let ``recorded`` (dict) be what is recorded, all of it. Raises OSError."""
        insync_files.replace(self._folder / "current.json", json.dumps(recorded, indent=2) + "\n")

    def record(self, platform, version, by):
        """Record that ``version`` is current on ``platform`` from now on, by whom (all str). Raises OSError."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.write({**self.recorded(), platform: _entry(version, self._declared[platform], now, by)})

    def former(self, platform):
        """Return the versions (list of str) of ``platform`` (str) before the current one, the last at the end."""
        entries = [entry for entry in insync_journal.history(self._folder) if entry["end"] == "ok"]
        changes = [entry for entry in entries if entry.get("platform") == platform]
        return former(changes, self.current()[platform])


def kept(declared, verb, by, server, test=False):
    """
    Return platform -> current version (dict of str), and record each declared one that takes over.

    declared (dict): as for ``Versions``. verb (str): what was typed, by (str) whom, server (str) where.
    test (bool): record nothing.
    Raises insync_version.VersionError, insync_lock.Held while somebody sets a version, OSError.
    """
    versions = Versions(declared)
    for platform, one in versions.holding().items():
        if one["since"] is None and not test:
            with insync_verb.run(AREA, verb, by, server) as (_, done):
                old = versions.recorded().get(platform, {}).get("version")
                versions.record(platform, one["version"], by)
                done |= change(platform, old, one["version"], DECLARED)
    return versions.current()


def change(platform, old, new, how):
    """Return what the history says of a change (dict); ``how`` is SET, ROLLBACK or DECLARED (all str)."""
    return {"platform": platform, "old": old, "new": new, "how": how}


def former(changes, current):
    """
    Return the versions (list of str) that a rollback leads to, the last at the end.

    changes (list of dict): as ``change`` returns them, in order. current (str): the version that holds.
    What was rolled back from is not among them: a second rollback leads further back.
    """
    found = []
    for one in changes:
        _append(found, one["old"])
        while one["how"] == ROLLBACK and found and found[-1] != one["new"]:
            found.pop()
        _append(found, one["new"])
    _append(found, current)
    return found[:-1]


def _append(found, version):
    if version and found[-1:] != [version]:
        found.append(version)


def _entry(version, declared, since, by):
    return {"version": version, "declared": declared, "since": since, "by": by}


def _holds(recorded, plain):
    return recorded is not None and recorded["declared"] == plain["declared"]
