"""A server as the survey sees it: its files, its packages, and what our states have declared of it."""

import os
import pathlib
import re
import subprocess
import time

# Where nobody's own things are, or too many of no interest.
_SKIPPED = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/cache", "/var/tmp", "/var/lib/dpkg", "/var/lib/apt"}


class System:
    """
    A server.

    root (str or pathlib.Path): where its files are; anything but / is a copy to be looked at, without its processes.
    plan (dict): what is declared: ``files``, ``gone`` (files that are not to be there), ``places`` (folders whose
    content our states look after), ``units``, ``users`` and ``databases`` (each a list of str), ``known`` (dict: path
    or pattern -> why nobody needs to ask).
    """

    def __init__(self, root="/", plan=None):
        self.root, self.plan = pathlib.Path(root), plan or {}
        self.live = str(root) == "/"
        self.cut_short = []
        # Folders of which it was told what is in them: nobody need ask why they are large.
        self.explained = set()
        self._owners = self._sources = None
        self._places = [*self.plan.get("places", ()), *self._of_units()]

    def path(self, name):
        """Return where the file ``name`` (str, absolute) is (pathlib.Path)."""
        return self.root / str(name).lstrip("/")

    def name(self, path):
        """Return what the file at ``path`` (pathlib.Path) is called on the server (str)."""
        return "/" + str(path.relative_to(self.root))

    def glob(self, pattern):
        """Return the names (list of str, sorted) of the files that ``pattern`` (str, absolute) fits."""
        return sorted(self.name(path) for path in self.root.glob(pattern.lstrip("/")))

    def text(self, name, limit=1_000_000):
        """Return the text of ``name`` (str), at most ``limit`` characters; "" if there is none."""
        try:
            with self.path(name).open(encoding="utf-8", errors="replace") as file:
                return file.read(limit)
        except OSError:
            return ""

    def run(self, *command, seconds=15):
        """Return what ``command`` (str) prints; "" if it fails, takes longer, or is not there."""
        return self._answer(command, seconds) or ""

    def ask(self, what, *command, seconds=15):
        """Return what ``run`` does; None if there is no answer, and ``cut_short`` says that ``what`` (str) is open."""
        answer = self._answer(command, seconds)
        if answer is None:
            self.cut_short.append(f"{what}: no answer")
        return answer

    def _answer(self, command, seconds):
        if not self.live:
            return None
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        options = {"capture_output": True, "text": True, "errors": "replace", "check": False, "env": environment}
        try:
            done = subprocess.run(command, timeout=seconds, stdin=subprocess.DEVNULL, **options)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def owner(self, name):
        """Return the package (str) that brings the file ``name`` (str); "" if none does."""
        if self._owners is None:
            self._owners = dict(self._listed())
        # Since /bin and /lib are links into /usr, packages name files either way.
        other = name.removeprefix("/usr") if name.startswith("/usr/") else f"/usr{name}"
        return self._owners.get(name) or self._owners.get(other, "")

    def source(self, package):
        """Return the source package (str) that ``package`` (str) was built of."""
        if self._sources is None:
            status = self.text("/var/lib/dpkg/status", 50_000_000)
            found = re.findall(r"^Package: (\S+)\n(?:(?!\n\n).)*?^Source: (\S+)", status, re.MULTILINE | re.DOTALL)
            self._sources = dict(found)
        return self._sources.get(package, package)

    def users(self):
        """Return the names of the users that this server itself knows (set of str)."""
        return {line.split(":")[0] for line in self.text("/etc/passwd").splitlines() if ":" in line}

    def _listed(self):
        for file in self.root.glob("var/lib/dpkg/info/*.list"):
            package = file.name.removesuffix(".list").split(":")[0]
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                yield line, package

    def by(self, name):
        """
        Return why ``name`` (str), a path, is there: ``salt``, ``package <name>``, ``known: <why>``, "" if nobody knows.
        """
        if name in self.plan.get("files", ()) or any(_below(name, one) for one in self._places):
            return "salt"
        for pattern, why in self.plan.get("known", {}).items():
            if pathlib.PurePath(name).match(pattern) or name == pattern:
                return f"known: {why}"
        package = self.owner(name)
        return f"package {package}" if package else ""

    def kept_by(self, name):
        """Return who keeps data at ``name`` (str): as ``by``, or the package whose own folder in /var/lib it is in."""
        folders = [str(folder) for folder in pathlib.PurePath(name).parents if folder.is_relative_to("/var/lib")]
        owners = [owner for folder in folders[:-1] if (owner := self.owner(folder)) and owner != "base-files"]
        return self.by(name) or (f"package {owners[-1]}" if owners else "")

    def _of_units(self):
        """Where units of ours keep their data."""
        for name in self.plan.get("files", ()):
            if name.startswith("/etc/systemd/system/"):
                for line in re.findall(r"^StateDirectory=(.*)$", self.text(name), re.MULTILINE):
                    yield from (f"/var/lib/{folder}" for folder in line.split() if not folder.startswith("/"))

    def walk(self, tops, seconds=10, entries=60_000):
        """
        Yield an os.DirEntry of every file below ``tops`` (str) that are there, on the same file system.

        seconds, entries (int): after so many it ends, and says so in ``cut_short``.
        """
        end = time.monotonic() + seconds
        for top in tops:
            folder = self.path(top)
            if folder.is_dir() and not folder.is_symlink():
                device = folder.stat().st_dev
                for entry in self._below(folder, device):
                    entries -= 1
                    if entries < 0 or time.monotonic() > end:
                        self.cut_short.append(f"{top}: too many files")
                        return
                    yield entry

    def _below(self, folder, device):
        waiting = [str(folder)]
        while waiting:
            try:
                found = list(os.scandir(waiting.pop()))
            except OSError:
                continue
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    name = self.name(pathlib.Path(entry.path))
                    if name not in _SKIPPED and entry.stat(follow_symlinks=False).st_dev == device:
                        waiting.append(entry.path)
                yield entry


def _below(name, place):
    """Whether ``name`` is ``place``, in it, or a release of it such as /opt/devpi-0123456789ab for /opt/devpi."""
    return re.fullmatch(rf"{re.escape(place)}(-[0-9a-f]{{12}}(\.lock)?)?(/.*)?", name, re.DOTALL) is not None
