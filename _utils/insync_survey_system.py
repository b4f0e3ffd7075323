"""A server as the survey sees it: its files, its packages, and what our states have declared of it."""

import collections
import contextlib
import itertools
import os
import pathlib
import re
import stat
import subprocess
import time

# Where nobody's own things are, or too many of no interest. rpm makes a database for whoever has no home and asks it.
_SKIPPED = {"/var/lib/dpkg", "/var/lib/apt", "/nonexistent/.rpmdb"}
# What a file system is that is looked at; overlay shows again what lies elsewhere, and others hold no data.
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "vfat", "exfat", "ntfs3", "tmpfs"}
_NO_DATA = {"overlay", "proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "nsfs", "squashfs"}
_NO_DATA |= {"rpc_pipefs", "fuse.lxcfs", "ramfs"}
FILES, SECONDS = 60_000, 60
# Of a home so many bytes are read: what is the system's own only an administrator makes large.
READ = 20_000_000
_OF_ROOT = ("/etc/", "/lib/", "/proc/", "/usr/", "/var/")
# Wherever a home is, this is its user's.
_OF_USER = re.compile(r"(.*?)/\.(?:config|local|ssh)/")
# In the first lines of our units, sites, jobs and settings.
_MARK = "Managed by Salt"
# So many names fit a pattern at the most: users make files, too.
NAMES = 5000
# As many as the kernel follows.
_LINKS = 40


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
        # Processes of which it was told that they wait for somebody.
        self.waiting = set()
        # What ``insync_survey_packages`` knows of files that packages brought.
        self.changes, self.digests = None, {}
        # {a user's home: how much of it was read}
        self._read = collections.Counter()
        self._owners = self._sources = self._mounts = None
        self._places = [*self.plan.get("places", ()), *self._of_units()]

    def path(self, name):
        """Return where the file ``name`` (str, absolute) is (pathlib.Path)."""
        return self.root / str(name).lstrip("/")

    def name(self, path):
        """Return what the file at ``path`` (pathlib.Path) is called on the server (str)."""
        return "/" + str(path.relative_to(self.root))

    def glob(self, pattern):
        """Return the names (list of str, sorted) of the files that ``pattern`` (str, absolute) fits."""
        names = sorted(self.name(path) for path in self.root.glob(pattern.lstrip("/")))
        if len(names) > NAMES:
            self.cut_short.append(f"{pattern}: too many files")
        return names[:NAMES]

    def text(self, name, limit=1_000_000):
        """
        Return the text of ``name`` (str); "" if there is none.

        limit (int): of what is longer, or no file at all, ``cut_short`` tells that it was not read to the end.
        """
        data = self.head(name, limit + 1)
        if len(data) > limit:
            self.cut_short.append(f"{name}: too large")
        return data[:limit].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")

    def head(self, name, size):
        """Return the first ``size`` bytes of the file ``name`` (str); none if it cannot be read, which is told."""
        home = _home(name)
        if home is not None and self._read[home] > READ:
            self.cut_short.append(f"{home}: too much to read")
            return b""
        if home is not None and not self.is_near(name):
            return b""
        try:
            with opened(self.path(name)) as file:
                data = file.read(size)
                self._read[home] += len(data)
                return data
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as exc:
            # What is to be empty is often a link to it.
            if os.path.realpath(self.path(name)) != os.devnull:
                self.cut_short.append(f"{name}: {'no file' if exc.errno is None else 'cannot be read'}")
            return b""

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

    def accounts(self):
        """Return who has which home (list of (str, str)), as /etc/passwd names them."""
        rows = (line.split(":") for line in self.text("/etc/passwd").splitlines())
        named = [(row[0], row[5]) for row in rows if len(row) == 7 and row[5].startswith("/")]
        return [(user, os.path.normpath(f"/{home.lstrip('/')}")) for user, home in named]

    def homes(self):
        """Return where users keep things (list of str): /root, what is in /home, and the homes of all accounts."""
        below = self.glob("/home/*") if self.is_near("/home") else []
        return list(dict.fromkeys(["/root", *below, *(home for _, home in self.accounts())]))

    def is_near(self, name):
        """
        Return whether this server itself keeps ``name`` (str), and whatever links on the way to it lead to.

        What another one keeps is told by ``cut_short``, and not touched: that may be gone.
        """
        place, waiting, links = "", name.split("/"), 0
        while waiting and links < _LINKS:
            place = os.path.normpath(f"{place.rstrip('/')}/{waiting.pop(0)}")
            if not self._is_local(place):
                return False
            with contextlib.suppress(OSError, ValueError):
                target = os.readlink(self.path(place))
                waiting, links = [*target.split("/"), *waiting], links + 1
                place = "" if target.startswith("/") else os.path.dirname(place)
        return True

    def _is_local(self, name):
        kind = self.mounts().get(name, "ext4")
        if kind not in _LOCAL | _NO_DATA:
            self.cut_short.append(f"{name}: a {kind}, not looked at")
        return kind in _LOCAL | _NO_DATA

    def _listed(self):
        for file in self.root.glob("var/lib/dpkg/info/*.list"):
            package = file.name.removesuffix(".list").split(":")[0]
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                yield line, package

    def by(self, name, marked=False):
        """
        Return why ``name`` (str), a path, is there: ``salt``, ``package <name>``, ``known: <why>``, "" if nobody knows.

        marked (bool): whether what our states write there has their mark: then nothing without it is theirs yet.
        """
        package = self.owner(name)
        return self.declared(name, marked) or (f"package {package}" if package else "")

    def declared(self, name, marked=False):
        """Return what ``by`` does, but nothing of packages."""
        written = name in self.plan.get("files", ())
        ours = written or any(_below(name, one) for one in self._places)
        if ours and not (written and marked and self._lacks_mark(name)):
            return "salt"
        for pattern, why in self.plan.get("known", {}).items():
            if pathlib.PurePath(name).match(pattern) or name == pattern:
                return f"known: {why}"
        return ""

    def _lacks_mark(self, name):
        path = self.path(name)
        return path.is_file() and not path.is_symlink() and _MARK not in self.text(name)

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

    def mounts(self):
        """Return where file systems are mounted (dict: folder -> kind), the upper one of two in the same place."""
        if self._mounts is None:
            rows = (line.split() for line in self.text("/proc/mounts").splitlines())
            self._mounts = {_unescaped(row[1]): row[2] for row in rows if len(row) > 2}
        return self._mounts

    def walk(self, tops):
        """
        Yield an os.DirEntry of every file below ``tops`` (list of str) that are there, in other file systems, too.

        Of each so many are yielded, and no longer; ``cut_short`` says where it ended, and what was not looked at.
        """
        end = time.monotonic() + SECONDS
        for number, top in enumerate(tops):
            # None may take the time of those behind it.
            share = (end - time.monotonic()) / min(3, len(tops) - number)
            if self._is_open(top) and not self._is_link(top, tops):
                yield from self._some_below(top, time.monotonic() + share)

    def _some_below(self, top, end):
        for number, entry in enumerate(self._below(top)):
            if number == FILES or time.monotonic() > end:
                self.cut_short.append(f"{top}: too many files")
                return
            yield entry

    def _is_open(self, name):
        """Whether data may be in the folder ``name``, which is not touched: another server may be gone."""
        return self._is_local(name) and self.mounts().get(name, "ext4") in _LOCAL and name not in _SKIPPED

    def _is_link(self, top, tops):
        """Whether ``top`` is one, which is not followed; what it leads to is looked at if it is in another one."""
        path = self.path(top)
        if not path.is_symlink():
            return False
        target = os.path.normpath(os.path.join(os.path.dirname(top), os.readlink(path)))
        if not any(f"{target}/".startswith(f"{one}/") for one in tops) and self.path(target).is_dir():
            self.cut_short.append(f"{top}: a link to {target}, not looked at")
        return True

    def _below(self, top):
        waiting, failed = [str(self.path(top))], False
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    found = list(itertools.islice(entries, FILES + 1))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                failed = True
                continue
            for entry in found:
                if entry.is_dir(follow_symlinks=False) and self._is_open(self.name(pathlib.Path(entry.path))):
                    waiting.append(entry.path)
                yield entry
        if failed:
            self.cut_short.append(f"{top}: a folder cannot be read")


def opened(path):
    """
    Return ``path`` (pathlib.Path) as an opened binary file. Raises OSError, one without a number if it is no file.

    Whoever has a home can put a pipe there, and would have the survey wait; a device may begin what it is for.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("no file")
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb")
    # It may be another one since.
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("no file")
    return file


def _home(name):
    """The home that ``name`` is in, if it is one; None of what only an administrator writes."""
    match = _OF_USER.match(name)
    if match:
        return match[1]
    return None if name.startswith(_OF_ROOT) else "/".join(name.split("/")[:3])


def _unescaped(text):
    """As /proc/mounts writes a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _below(name, place):
    """Whether ``name`` is ``place``, in it, or a release of it such as /opt/devpi-0123456789ab for /opt/devpi."""
    return re.fullmatch(rf"{re.escape(place)}(-[0-9a-f]{{12}}(\.lock)?)?(/.*)?", name, re.DOTALL) is not None
