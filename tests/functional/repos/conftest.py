"""Keys, packages and builds, all of them real, for the tests of the local repositories."""

import hashlib
import itertools
import pathlib
import shutil
import subprocess
import tempfile
import time
import types

import insync_gpg
import insync_plan
import insync_repos
import pytest

SPEC = """Name: {package}
Version: {version}
Release: 1
Summary: Insync
License: none
%description
Insync {content}
%files
"""
FILES = {"apt": "{package}_{version}_{architecture}.deb", "yum": "{package}-{version}-1.{architecture}.rpm"}
PACKAGES = {
    "apt": {"insync": ["amd64"], "insync-nautilus": ["all"]},
    "yum": {"insync": ["x86_64"], "insync-nautilus": ["noarch"]},
}
DEBIAN = ("amd64", "arm64", "all")
# Name, when it was made, for how long it is good, passphrase.
KEYS = {
    "insync": ("", "0", ""),
    "builds": ("", "0", ""),
    "other": ("", "0", ""),
    "expiring": ("", "10d", ""),
    "expired": ("20200101T000000!", "1d", ""),
    "locked": ("", "0", "secret words"),
}


class Keys:
    """A GNUPGHOME, and in it keys by their names."""

    def __init__(self, home):
        """home (pathlib.Path): an empty folder with a short name."""
        self.home = home
        self.fingerprints = {name: self._make(name, *key) for name, key in KEYS.items()}
        # The agent would know the passphrase still.
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)

    def _make(self, name, made, expires, passphrase):
        faked = ["--faked-system-time", made] if made else []
        secret = ["--pinentry-mode", "loopback", "--passphrase-fd", "0"]
        self._gpg(*faked, *secret, "--quick-gen-key", name, "rsa2048", "sign", expires, stdin=passphrase.encode())
        listed = self._gpg("--with-colons", "--list-keys", f"={name}").decode()
        return next(row.split(":")[9] for row in listed.splitlines() if row.startswith("fpr"))

    def _gpg(self, *words, stdin=b""):
        command = ["gpg", "--homedir", self.home, "--batch", "--quiet", "--no-tty", "--yes", *words]
        return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout

    def signer(self, name="insync"):
        """A Signer by one of them."""
        return insync_gpg.Signer(self.home, self.fingerprints[name])

    def public(self, name):
        """Its public half, armored."""
        return self._gpg("--armor", "--export", self.fingerprints[name]).decode()

    def detach(self, name, text):
        """Its signature of a text, made while the key was good."""
        faked = ["--faked-system-time", KEYS[name][0]] if KEYS[name][0] else []
        return self._gpg(*faked, "--armor", "--local-user", self.fingerprints[name], "--detach-sign", stdin=text)


@pytest.fixture(scope="session")
def keys():
    """The keys of Insync, of its builds, and of others."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    yield Keys(home)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """Make a package: ``package("insync", "1.0", "amd64", content)`` returns the path of the .deb, or of the .rpm."""
    folder, made = tmp_path_factory.mktemp("packages"), {}

    def _package(name, version, architecture, content=""):
        told = (name, version, architecture, content)
        if told not in made:
            place = folder / str(len(made))
            made[told] = (_deb if architecture in DEBIAN else _rpm)(place, *told)
        return made[told]

    return _package


def _deb(place, name, version, architecture, content):
    (place / "tree" / "DEBIAN").mkdir(parents=True)
    control = {"Package": name, "Version": version, "Architecture": architecture, "Maintainer": "Insync <a@b.invalid>"}
    control["Description"] = f"Insync {content}"
    (place / "tree" / "DEBIAN" / "control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    (place / "tree" / "content").write_text(f"{name} {version} {content}\n" * 99)
    command = ["dpkg-deb", "--root-owner-group", "--build", place / "tree", place / "it.deb"]
    subprocess.run(command, check=True, capture_output=True)
    return place / "it.deb"


def _rpm(place, name, version, architecture, content):
    place.mkdir(parents=True)
    (place / "spec").write_text(SPEC.format(package=name, version=version, content=content))
    command = [
        "rpmbuild",
        "--quiet",
        "--define",
        f"_topdir {place}/top",
        "--target",
        architecture,
        "-bb",
        place / "spec",
    ]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = (place / "top" / "RPMS").glob("*/*.rpm")
    return made


class Repository:
    """A root, and builds to add to it."""

    def __init__(self, kind, folder, keys, package):
        """kind (str): apt or yum; folder (pathlib.Path): for everything."""
        self.kind, self.folder, self.keys, self.package, self.said = kind, folder, keys, package, []
        self.declared = {
            "build_key": keys.public("builds"),
            "retain": {"versions": 3, "serials": 2, "days": 0},
            "apt": {
                "url": "http://apt.insync.io",
                "components": ["non-free", "contrib"],
                "architectures": ["amd64"],
                "packages": PACKAGES["apt"],
                "file": FILES["apt"],
                "suites": {"ubuntu": ["noble", "jammy"], "debian": ["bookworm"]},
                "origin": "Insync",
            },
            "yum": {
                "url": "http://yum.insync.io",
                "architectures": ["x86_64"],
                "packages": PACKAGES["yum"],
                "file": FILES["yum"],
                "releases": {"fedora": ["41"], "opensuse": ["tumbleweed"]},
            },
        }
        self.root = insync_repos.Root(folder / "repos", kind, self.declared)

    def name(self, package, version):
        """What its file is called."""
        return FILES[self.kind].format(package=package, version=version, architecture=self.architecture(package))

    def architecture(self, package):
        """What it is for."""
        return PACKAGES[self.kind][package][0]

    def builder(self):
        """What makes its indexes."""
        return insync_repos.BUILDERS[self.kind](self.root, self.keys.signer(), self.folder)

    def build(self, version, content="", without=(), by="builds", **files):
        """Leave a build, signed, as one does; files: name -> path of a package in the place of the right one."""
        folder = self.folder / "builds" / version
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, (architecture,) in PACKAGES[self.kind].items():
            if name not in without:
                made = files.get(name) or self.package(name, version, architecture, content)
                shutil.copy(made, folder / self.name(name, version))
        return self.sign(folder, by)

    def sign(self, folder, by="builds"):
        """Sign what is in a folder now."""
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("SHA256SUMS"))
        text = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in names).encode()
        (folder / "SHA256SUMS").write_bytes(text)
        (folder / "SHA256SUMS.asc").write_bytes(self.keys.detach(by, text))
        return folder

    def add(self, version, folder=None, key="insync", **options):
        """Add a version, of a new build if none is told."""
        self.said = []
        folder = folder or self.build(version)
        signer = self.keys.signer(key)
        return insync_repos.add(self.root, version, folder, signer, "alice", say=self.said.append, **options)

    def roll_back(self, units, **options):
        """Roll back."""
        return insync_repos.roll_back(self.root, units, self.keys.signer(), "bob", **options)

    def withdraw(self, version, **options):
        """Withdraw a version from all units."""
        return insync_repos.withdraw(self.root, self.root.units, version, self.keys.signer(), "bob", **options)

    def visible(self):
        """All that is current, or was."""
        current = insync_repos.current(self.root)
        return {unit: insync_repos.manifests(self.root, unit) for unit in current}

    def versions(self, unit):
        """Which versions of insync are in the index of a unit."""
        return insync_repos.current(self.root)[unit].packages["insync"]

    def published(self):
        """The current files, each where a client asks for it (pathlib.Path)."""
        folder = self.folder / "published"
        for manifest in insync_repos.current(self.root).values():
            for key, entry in manifest.keys().items():
                (folder / key).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root.path(entry["sha256"]), folder / key)
        return folder


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock that is behind, so that its next second need not be waited for, but goes ahead whenever it is read."""
    seconds = itertools.count(int(time.time()) - 1000)
    monkeypatch.setattr(insync_plan, "time", types.SimpleNamespace(time=lambda: float(next(seconds)), sleep=None))


@pytest.fixture(scope="session")
def repository_of(keys, package):
    """Make an empty repository: ``repository_of("apt", folder)``."""
    return lambda kind, folder: Repository(kind, folder, keys, package)


@pytest.fixture
def repository(tmp_path, repository_of, request):
    """An empty repository of the kind that the test asks for by its parameter; apt if it does not."""
    return repository_of(getattr(request, "param", "apt"), tmp_path)
