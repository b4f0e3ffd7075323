"""What a build left for one version: taken, and proved to be what it says before anything is made of it."""

import concurrent.futures
import dataclasses
import hashlib
import pathlib
import re

import insync_gpg
import insync_manifest
import insync_tool

SUMS = "SHA256SUMS"
BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A verified package. path (pathlib.Path): our own copy; sha256 (str): of that."""

    package: str
    architecture: str
    name: str
    path: pathlib.Path
    sha256: str


def take(source, version, wanted, build_key, folder, partial=False):
    """
    Copy the packages of a version from ``source`` (path) to ``folder`` (pathlib.Path, private) and verify each.

    version (insync_version.Version). wanted (list of (package, architecture, file name)): what is declared.
    build_key (str): the armored key that signs SHA256SUMS. partial (bool): what the build does not have may be missing.
    Returns the list of Artifact and the list of names (str) that are missing.
    Raises insync_manifest.RepositoryError naming everything that is missing, or everything that is wrong.
    """
    source = pathlib.Path(source)
    sums = _sums(source, build_key, folder)
    missing, there = _missing(source, sums, wanted)
    if not there or any(listed or not partial for listed in missing.values()):
        hint = "" if partial else "; build it, or publish without it by partial=True"
        told = [f"{name} ({listed})" if listed else name for name, listed in missing.items()]
        raise insync_manifest.RepositoryError(f"{version}: missing in {source}: {', '.join(told) or 'all'}{hint}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda file: _one(source, version, file, sums, folder), there))
    wrong = [complaint for _, complaints in found for complaint in complaints]
    if wrong:
        raise insync_manifest.RepositoryError(f"{version}: {'; '.join(wrong)}; build it anew")
    return [artifact for artifact, _ in found], list(missing)


def entry(path):
    """Return what a manifest says (dict) of the file ``path`` (pathlib.Path). Raises OSError."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def same(artifact, sha256, path):
    """Whether ``artifact`` is the object ``path`` (pathlib.Path) of checksum ``sha256`` (str), signed or not."""
    if artifact.sha256 == sha256 or artifact.path.suffix != ".rpm":
        return artifact.sha256 == sha256
    query = ["rpm", "-qp", "--nosignature", "--queryformat", "%{SHA256HEADER}\\n"]
    return len(set(insync_tool.run([*query, artifact.path, path]).split())) == 1


def _sums(source, build_key, folder):
    try:
        text, signature = ((source / name).read_bytes() for name in (SUMS, f"{SUMS}.asc"))
    except OSError as exc:
        raise insync_manifest.RepositoryError(f"{exc.filename}: {exc.strerror}; the build has not left it") from exc
    try:
        insync_gpg.verify(build_key, signature, text, folder)
    except insync_manifest.RepositoryError as exc:
        raise insync_manifest.RepositoryError(f"{source / SUMS}: {exc}") from exc
    rows = [re.fullmatch(r"([0-9a-f]{64}) [ *]([^/\0]+)", row) for row in text.decode(errors="replace").splitlines()]
    if not all(rows) or len({row[2] for row in rows}) != len(rows):
        raise insync_manifest.RepositoryError(f"{source / SUMS}: not a list of checksums, each file once")
    return {row[2]: row[1] for row in rows}


def _missing(source, sums, wanted):
    """Those that are not there, each with why that is not just a build without it, and those that are."""
    missing, there = {}, []
    for file in wanted:
        name = file[2]
        if name in sums and (source / name).is_file():
            there.append(file)
        elif name in sums:
            missing[name] = f"though in {SUMS}"
        else:
            missing[name] = f"not in {SUMS}" if (source / name).exists() else ""
    return missing, there


def _one(source, version, file, sums, folder):
    package, architecture, name = file
    path, digest = folder / name, hashlib.sha256()
    with (source / name).open("rb") as read, path.open("wb") as write:
        while block := read.read(BLOCK):
            digest.update(block)
            write.write(block)
    artifact = Artifact(package, architecture, name, path, digest.hexdigest())
    if artifact.sha256 != sums[name]:
        return artifact, [f"{name}: not the checksum that {SUMS} says"]
    said = {"package": package, "version": str(version), "architecture": architecture}
    if path.suffix == ".rpm":
        said["release"] = name.removeprefix(f"{package}-{version}-").removesuffix(f".{architecture}.rpm")
    try:
        return artifact, _differences(name, said, (_rpm if path.suffix == ".rpm" else _deb)(path))
    except insync_manifest.RepositoryError as exc:
        return artifact, [f"{name}: corrupt ({str(exc).replace(str(path), name)})"]


def _differences(name, said, found):
    return [
        f"{name}: its {field} is {found.get(field) or 'not told'}, not {value}"
        for field, value in said.items()
        if found.get(field) != value
    ]


def _deb(path):
    fields = insync_tool.run(["dpkg-deb", "--field", path, "Package", "Version", "Architecture"]).decode()
    # The archive of files is read to its end: a clipped one has good fields still.
    insync_tool.run(["sh", "-c", 'exec dpkg-deb --fsys-tarfile "$1" >/dev/null', "sh", path], "dpkg-deb")
    return {name.lower(): value for name, _, value in (row.partition(": ") for row in fields.splitlines())}


def _rpm(path):
    insync_tool.run(["rpmkeys", "--checksig", "--nosignature", path])
    query = "%{NAME}\\n%{VERSION}\\n%{ARCH}\\n%{RELEASE}\\n"
    found = insync_tool.run(["rpm", "-qp", "--nosignature", "--queryformat", query, path]).decode().split("\n")
    return dict(zip(("package", "version", "architecture", "release"), found, strict=False))
