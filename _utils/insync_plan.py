"""Which serials a change makes of a local repository, decided before anything is made."""

import dataclasses
import os
import time

import insync_artifacts
import insync_manifest
import insync_version

RepositoryError = insync_manifest.RepositoryError
# Seconds: two runs within one are no clock that is behind.
PATIENCE = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """
    A serial to make of unit (str). what (str): how it is asked for. former (Manifest): what is current, or None.

    serial, date, packages: as in its Manifest. files (dict): key -> entry. sources (list of Manifest): whose indexes
    have most of it already.
    """

    unit: str
    what: str
    former: insync_manifest.Manifest | None
    packages: dict
    files: dict
    sources: list
    date: int = 0

    @property
    def serial(self):
        """Return the number (int) after the former one."""
        return self.former.serial + 1 if self.former else 1

    def told(self):
        """Return what the operator reads of it (dict)."""
        had = self.former.files() if self.former else {}
        return {
            "serial": self.serial,
            "former": self.former.serial if self.former else None,
            "added": sorted(os.path.basename(key) for key in self.files.keys() - had.keys()),
            "dropped": sorted(os.path.basename(key) for key in had.keys() - self.files.keys()),
        }


def known(root, found):
    """
    Return the entries (dict: file name -> entry) of those of ``found`` (list of Artifact) that some serial has.

    root (insync_root.Root). Raises RepositoryError if one has other content.
    """
    have, names = {}, {artifact.name for artifact in found}
    for unit in root.serials():
        for path in reversed(root.manifests(unit)):
            # Most manifests name none of them: not worth to be parsed.
            text = path.read_text(encoding="utf-8")
            if any(f'/{name}"' in text for name in names - have.keys()):
                files = insync_manifest.read(path).files()
                there = {os.path.basename(key): entry for key, entry in files.items()}
                have |= {name: entry for name, entry in there.items() if name in names}
    others = [artifact.name for artifact in found if not _same(root, artifact, have.get(artifact.name))]
    if others:
        raise RepositoryError(f"{', '.join(others)}: other content is published, and immutable: bump the version")
    return have


def _same(root, artifact, entry):
    return not entry or insync_artifacts.same(artifact, entry["sha256"], root.path(entry["sha256"]))


def addition(root, builder, unit, former, version, found, entries, backport):
    """
    Return the Plan for ``version`` (insync_version.Version) in ``unit`` (str), None if all of it is there.

    root (insync_root.Root), builder: of its kind. former (Manifest): what is current, or None.
    found (list of Artifact), entries (dict: file name -> entry). backport (bool): it may be lower.
    Raises RepositoryError if it is lower than the newest, or than all that stay.
    """
    packages, files = (dict(former.packages), former.files()) if former else ({}, {})
    new = {builder.key(unit, artifact.package, artifact.name): artifact for artifact in found}
    new = {key: artifact for key, artifact in new.items() if key not in files}
    if not new:
        return None
    newest = max((insync_version.parse(each) for there in packages.values() for each in there), default=version)
    if version < newest and not backport:
        raise RepositoryError(f"{version}: {unit} has {newest}; a lower one needs backport=True")
    for package in {artifact.package for artifact in new.values()}:
        there = sorted({*packages.get(package, ()), str(version)}, key=insync_version.parse)
        packages[package] = there[-root.retain["versions"] :]
        if str(version) not in packages[package]:
            raise RepositoryError(f"{version}: {unit} keeps {root.retain['versions']} versions, all of them higher")
        for gone in set(there) - set(packages[package]):
            start = root.beginning(package, gone)
            files = {key: entry for key, entry in files.items() if not os.path.basename(key).startswith(start)}
    files |= {key: entries[artifact.name] for key, artifact in new.items()}
    what = f"update_{root.name}_repo {version}"
    return Plan(unit, what, former, packages, files, [former] if former else [])


def without(root, now, version):
    """
    Return (packages, files), both dict, of ``now`` (Manifest) without ``version`` (str), which it offers.

    What was dropped when that version came is there again. root (insync_root.Root). Raises RepositoryError.
    """
    there = root.history(now.unit)
    lacking = [number for number, manifest in enumerate(there) if not manifest.offers(version)]
    before, came = (there[lacking[-1]], there[lacking[-1] + 1]) if lacking else (None, None)
    packages, files = {}, {}
    for name in {*now.packages, *(before.packages if before else ())}:
        dropped = set(before.packages.get(name, ())) - set(came.packages.get(name, ())) if before else set()
        versions = {*now.packages.get(name, ()), *dropped} - {version}
        for one in versions:
            files |= _files(root, before if one in dropped else now, name, one)
        if versions:
            packages[name] = sorted(versions, key=insync_version.parse)
    return packages, files


def _files(root, manifest, package, version):
    start = root.beginning(package, version)
    return {key: entry for key, entry in manifest.files().items() if os.path.basename(key).startswith(start)}


def like(root, now, serial):
    """
    Return the Manifest of ``serial`` (int) in the unit of ``now`` (Manifest, current).

    None asks for the newest with other packages before those of now. root (insync_root.Root). Raises RepositoryError.
    """
    there = root.history(now.unit)
    if serial is None:
        # After a rollback that is what was before the packages of now came first, not what it was from.
        first = next(manifest for manifest in there if manifest.files() == now.files())
        there = [manifest for manifest in there if manifest.serial < first.serial]
        if not there:
            raise RepositoryError(f"{now.unit}: nothing is before serial {first.serial}")
        return there[-1]
    for manifest in there:
        if manifest.serial == int(serial):
            return manifest
    raise RepositoryError(f"{now.unit}: no serial {serial}; there is {', '.join(str(m.serial) for m in there)}")


def date(plans):
    """
    Return the time (int, seconds since the epoch) for the index of ``plans`` (list of Plan), later than all former.

    Clients take no index that is not. Raises RepositoryError if the clock is behind.
    """
    latest = max((plan.former for plan in plans if plan.former), key=lambda former: former.date, default=None)
    if latest and latest.date - time.time() >= PATIENCE:
        behind = int(latest.date - time.time())
        raise RepositoryError(f"the clock is {behind} s behind serial {latest.serial} of {latest.unit}; set it")
    while latest and int(time.time()) <= latest.date:
        time.sleep(0.02)
    return int(time.time())
