"""
The desktop client, as small stand-ins: what Insync's build leaves of a version, on every platform.

Packages for apt and yum, installers for Mac and Windows, their checksums and the build's signature.
"""

import hashlib
import os
import pathlib
import tempfile

from lab import pgp, shell
from lab.errors import LabError
from lab.paths import CACHE, KEYS
from lab.settings import digest

SOURCE = pathlib.Path(__file__)
# The time that everything in a package has: the same version gives the same bytes.
EPOCH = "1700000000"
CLIENT = "insync"
# Package to what it is.
PACKAGES = {
    CLIENT: "Desktop client, a stand-in",
    "insync-nautilus": "Nautilus integration of the desktop client, a stand-in",
    "insync-dolphin": "Dolphin integration of the desktop client, a stand-in",
}
# Platform to the file that its users download.
INSTALLERS = {"mac": "Insync-{version}.dmg", "windows": "Insync-{version}.exe"}
SUMS = "SHA256SUMS"


def build(versions, cache=CACHE, keys=KEYS):
    """
    Build the client's ``versions`` (list of str); return the folder (pathlib.Path) that has a folder of each.

    cache (pathlib.Path): where the folder is kept; what is there already is not built again.
    keys (pathlib.Path): the folder of the lab's private keys.
    Raises LabError.
    """
    key = pgp.kept(keys, pgp.BUILDS)
    folder = cache / f"clients-{digest(SOURCE.read_text(encoding='utf-8'), versions, key.public)}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".clients-") as work:
            made = pathlib.Path(work, "made")
            for version in versions:
                _version(version, made / version, pathlib.Path(work, version), key)
            _move(made, folder)
    return folder


def _version(version, folder, work, key):
    folder.mkdir(parents=True)
    for package in PACKAGES:
        _deb(package, version, folder, work / package)
    _rpms(version, folder, work / "rpm")
    for platform, name in INSTALLERS.items():
        text = f"Insync {version} for {platform}, a stand-in\n"
        (folder / name.format(version=version)).write_text(text, encoding="ascii")
    files = sorted(folder.iterdir())
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / SUMS).write_text(sums, encoding="ascii")
    (folder / f"{SUMS}.asc").write_text(pgp.sign(key, sums.encode()), encoding="ascii")


def _content(package, version):
    """Return {path: (text, mode)} of what a package installs."""
    if package == CLIENT:
        return {"usr/bin/insync": (f"#!/bin/sh\necho {version}\n", 0o755)}
    return {f"usr/share/{package}/about": (f"{PACKAGES[package]}, {version}\n", 0o644)}


def _lay_out(tree, packages, version):
    for package in packages:
        for name, (text, mode) in _content(package, version).items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
            path.chmod(mode)


def _deb(package, version, folder, tree):
    _lay_out(tree, [package], version)
    fields = {
        "Package": package,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": pgp.HOLDERS[pgp.BUILDS],
        "Section": "non-free/net",
        "Priority": "optional",
        **({} if package == CLIENT else {"Depends": CLIENT}),
        "Description": PACKAGES[package],
    }
    (tree / "DEBIAN").mkdir()
    control = "".join(f"{key}: {value}\n" for key, value in fields.items())
    (tree / "DEBIAN" / "control").write_text(control, encoding="ascii")
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(folder)]
    shell.run(command, env=_environment(), what=f"{package} {version}: dpkg-deb")


def _rpms(version, folder, work):
    tree = work / "tree"
    _lay_out(tree, PACKAGES, version)
    (work / "client.spec").write_text(_spec(version, tree), encoding="ascii")
    macros = {
        "_topdir": work,
        "_dbpath": work / "db",
        "_rpmdir": folder,
        "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "_buildhost": "build.insync.example",
        "use_source_date_epoch_as_buildtime": 1,
        "clamp_mtime_to_source_date_epoch": 1,
        # As old clients read it, on any machine.
        "_binary_payload": "w9.gzdio",
        "__os_install_post": "%{nil}",
    }
    defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    command = ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", *defines, str(work / "client.spec")]
    shell.run(command, env=_environment(), what=f"client {version}: rpmbuild")


def _spec(version, tree):
    """Return the spec (str) of all the packages of ``version``; they are not looked into for what they need."""
    parts = [f"Name: {CLIENT}\nVersion: {version}\nRelease: 1\nLicense: Proprietary\nAutoReqProv: no"]
    parts[0] += f"\nSummary: {PACKAGES[CLIENT]}\n\n%description\n{PACKAGES[CLIENT]}.\n"
    for package, what in PACKAGES.items():
        if package != CLIENT:
            head = f"%package -n {package}\nSummary: {what}\nAutoReqProv: no\nRequires: {CLIENT}\n"
            parts.append(f"{head}\n%description -n {package}\n{what}.\n")
    parts.append(f"%install\ncp -r {tree}/. %{{buildroot}}\n")
    for package in PACKAGES:
        parts.append("\n".join([f"%files -n {package}", *(f"/{name}" for name in _content(package, version))]) + "\n")
    return "\n".join(parts)


def _environment():
    return {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C.UTF-8"}


def _move(made, folder):
    try:
        made.rename(folder)
    except OSError as exc:
        # Somebody else was faster, with the same.
        if not folder.is_dir():
            raise LabError(f"{folder}: {exc.strerror}") from exc
