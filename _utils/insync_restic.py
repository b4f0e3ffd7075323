"""restic, which encrypts what it puts into a bucket: one repository for each server, with a password of its own."""

import contextlib
import json
import os
import pathlib
import subprocess
import time

CACHE = "/var/cache/insync-backup"
SECONDS = 6 * 3600
# For how long who finds the repository locked waits for the other one, and how often it looks.
PATIENCE = 300
_PAUSE = 5
_LOCKED = "repository is already locked"
# In the words of restic, and of the store that has no such object.
_NONE = ("Is there a repository at the following location", "unable to open config file")


class ResticError(ValueError):
    """restic refuses, or what is in the repository is not what was asked for; the message is one line that says why."""


class Repository:
    """What one server has backed up."""

    def __init__(self, address, password, keys=None, host="", patience=PATIENCE):
        """
        address (str): where it is, as restic writes it. password (str): what it is encrypted with.

        keys (dict): of S3: access, secret, region. host (str): the server whose it is. patience (float): in seconds.
        """
        self.address, self.host, self.patience = address, host, patience
        keys = keys or {}
        told = {"AWS_ACCESS_KEY_ID": keys.get("access"), "AWS_SECRET_ACCESS_KEY": keys.get("secret")}
        told["AWS_DEFAULT_REGION"] = keys.get("region")
        # Never on a command line, which everybody on the server sees.
        self._secrets = {"RESTIC_PASSWORD": password, **{name: value for name, value in told.items() if value}}

    def prepare(self):
        """Make the repository if there is none, and remove the locks of those who have died; nothing is replaced."""
        try:
            self.unlock()
        except _Missing:
            self._run("init")

    def unlock(self):
        """Remove the locks of those who have died."""
        self._run("unlock")

    def backup(self, paths, kind, exclude=()):
        """
        Put ``paths`` (list of str) into the repository as a backup of ``kind`` (str).

        exclude (list of str): what of them is left out. Returns a dict: snapshot, bytes (all of it), added (new bytes).
        Raises ResticError also if a single file could not be read: then it counts for none.
        """
        options = [f"--exclude={one}" for one in exclude]
        said = self._json("backup", "--host", self.host, "--tag", kind, *options, "--", *paths)
        done = next((one for one in said if one.get("message_type") == "summary"), None)
        if done is None:
            raise ResticError(f"restic backup: it does not say what it did; {self.address}")
        return {
            "snapshot": done["snapshot_id"][:8],
            "bytes": done["total_bytes_processed"],
            "added": done["data_added"],
        }

    def snapshots(self, kind=""):
        """
        Return the backups (list of dict: id, kind, time, paths), the newest first; of one ``kind`` (str) if told.

        Before the first one there is no repository, and no backup.
        """
        try:
            found = self._json("snapshots", "--host", self.host, *(["--tag", kind] if kind else []))[0] or []
        except _Missing:
            return []
        made = [
            {"id": one["short_id"], "kind": (one.get("tags") or [""])[0], "time": one["time"], "paths": one["paths"]}
            for one in found
        ]
        return sorted(made, key=lambda one: one["time"], reverse=True)

    def restore(self, snapshot, target):
        """Write all of the backup ``snapshot`` (str) below the folder ``target`` (str), and read it again."""
        self._run("restore", snapshot, "--target", str(target), "--verify")

    def check(self):
        """Raise ResticError unless the repository is whole."""
        self._run("check")

    def forget(self, keep, test=True):
        """
        Remove the backups that ``keep`` (dict: daily, weekly, monthly) does not keep, and what only they needed.

        test (bool): only tell. The newest of each kind stays. Returns those that go (list of dict: id, kind, time).
        """
        options = [f"--keep-{period}={keep[period]}" for period in ("daily", "weekly", "monthly")]
        options += ["--keep-last=1", "--group-by=host,tags", "--dry-run" if test else "--prune"]
        said = self._json("forget", "--host", self.host, *options)
        going = [
            {"id": one["short_id"], "kind": (one.get("tags") or [""])[0], "time": one["time"]}
            for group in said[0]
            for one in group["remove"] or []
        ]
        return sorted(going, key=lambda one: one["time"])

    def _json(self, verb, *words):
        lines = self._run(verb, "--json", *words).splitlines()
        found = []
        for line in lines:
            # Beside what it was asked for, restic says more, in words.
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found or [[]]

    def _run(self, verb, *words):
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return self._once(verb, *words)
            except _Locked:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE)

    def _once(self, verb, *words):
        pathlib.Path(CACHE).mkdir(mode=0o700, parents=True, exist_ok=True)
        command = ["restic", "--repo", self.address, "--cache-dir", CACHE, "--option", "s3.bucket-lookup=path", verb]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        # What it reads back while it verifies needs a folder for it.
        options = {"env": {**environment, **self._secrets, "TMPDIR": CACHE}, "cwd": "/", "stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run([*command, *words], capture_output=True, check=False, timeout=SECONDS, **options)
        except subprocess.TimeoutExpired as exc:
            raise ResticError(f"restic {verb}: no end after {SECONDS} s") from exc
        except OSError as exc:
            raise ResticError(f"restic: {exc.strerror}; the highstate of this server installs it") from exc
        if done.returncode:
            raise self._refusal(verb, done)
        return done.stdout.decode(errors="replace")

    def _refusal(self, verb, done):
        said = (done.stderr or done.stdout).decode(errors="replace")
        kinds = [(_LOCKED, _Locked), *((words, _Missing) for words in _NONE)]
        # A key or a bucket that does not let us in is no missing repository.
        denied = "Access Denied" in said or "AccessDenied" in said or "wrong password" in said
        kind = next((kind for words, kind in kinds if words in said and not denied), ResticError)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("Fatal", "error", "unable", "repository is"))] or lines
        return kind(f"restic {verb}: {' '.join((told or [f'exit code {done.returncode}'])[0].split())[:300]}")


class _Locked(ResticError):
    """Somebody else is at it."""


class _Missing(ResticError):
    """There is no repository yet."""


def address(where, server):
    """Return the address (str) of the repository of ``server`` (str); where (dict): bucket, endpoint, region."""
    endpoint = where["endpoint"] or f"https://s3.{where['region']}.amazonaws.com"
    return f"s3:{endpoint}/{where['bucket']}/{server}"
