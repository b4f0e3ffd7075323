"""The local apt and yum repositories: add a version, roll back, tidy up. The caller keeps everybody else out."""

import concurrent.futures
import dataclasses
import time

import insync_apt
import insync_artifacts
import insync_manifest
import insync_plan
import insync_root
import insync_selfcheck
import insync_version
import insync_yum

Root = insync_root.Root
RepositoryError = insync_manifest.RepositoryError
BUILDERS = {"apt": insync_apt.Builder, "yum": insync_yum.Builder}
CHECKS = {"apt": insync_selfcheck.apt, "yum": insync_selfcheck.yum}
DAY = 86400


def add(root, version, source_folder, signer, by, backport=False, partial=False, test=False, say=lambda line: None):
    """
    Add the packages of ``version`` (str) to every declared unit of ``root`` (Root), in one moment.

    source_folder (path): what the build left for this version. signer (insync_gpg.Signer). by (str): who asks.
    backport (bool): it may be lower than the newest. partial (bool): packages may be missing.
    test (bool): verify everything, but make nothing. say (callable): takes a line (str) per step.
    Returns a dict: ``missing`` (file names) and ``units``: unit -> serial, former (serial or None), added and dropped
    (file names); units is empty if all is there. Raises insync_manifest.RepositoryError, or OSError; what was current
    is so still.
    """
    version = insync_version.parse(version)
    _warn(signer, say)
    with root.staging() as staging:
        builder = BUILDERS[root.name](root, signer, staging / "build")
        say(f"verify {version} in {source_folder}")
        asked = (root.wanted(version), root.build_key, staging / "new", partial)
        found, missing = insync_artifacts.take(source_folder, version, *asked)
        entries = insync_plan.known(root, found)
        fresh = [artifact for artifact in found if artifact.name not in entries]
        (builder.check if test else builder.sign)([artifact.path for artifact in fresh])
        entries |= {artifact.name: insync_artifacts.entry(artifact.path) for artifact in fresh}
        before = current(root)
        asked = (version, found, entries, backport)
        plans = [insync_plan.addition(root, builder, unit, before.get(unit), *asked) for unit in root.units]
        plans = [plan for plan in plans if plan]
        if plans and not test:
            say(f"keep {len(fresh)} new files")
            root.keep({artifact.path: entries[artifact.name] for artifact in fresh})
            _make(root, builder, plans, signer, by, staging, say)
    return {"units": {plan.unit: plan.told() for plan in plans}, "missing": missing}


def roll_back(root, units, signer, by, test=False, say=lambda line: None):
    """
    Make new serials with the packages of former ones: clients do not go back to an older index.

    units (dict): unit -> serial (int), or None for the newest with other packages before those of now.
    root, signer, by, test, say: as for ``add``.
    Returns a dict: ``units``: as ``add``, and ``like``, the serial whose packages they are. Raises
    insync_manifest.RepositoryError, or OSError; what was current is so still.
    """
    _warn(signer, say)
    before, plans = current(root), []
    for unit, serial in units.items():
        if unit not in before:
            raise RepositoryError(f"{unit}: nothing of it is there; there is {', '.join(sorted(before)) or 'nothing'}")
        like = insync_plan.like(root, before[unit], serial)
        lost = [key for key, entry in like.files().items() if not root.holds(entry)]
        if lost:
            raise RepositoryError(f"{unit}: serial {like.serial}: {', '.join(lost)} is not here any more")
        what, sources = f"rollback_repos {unit} {like.serial}", [like, before[unit]]
        plans.append(insync_plan.Plan(unit, what, before[unit], like.packages, like.files(), sources))
    _remake(root, plans, signer, by, test, say)
    return {"units": {plan.unit: {**plan.told(), "like": plan.sources[0].serial} for plan in plans}}


def withdraw(root, units, version, signer, by, test=False, say=lambda line: None):
    """
    Make new serials of ``units`` (list of str) without ``version`` (str), and with what it took the place of.

    root, signer, by, test, say: as for ``add``. A unit that does not offer it stays as it is.
    Returns a dict: ``units``, as ``add``. Raises insync_manifest.RepositoryError, or OSError; what was current is so
    still.
    """
    _warn(signer, say)
    before, plans = current(root), []
    for unit in units:
        if before[unit].offers(version):
            packages, files = insync_plan.without(root, before[unit], version)
            what = f"rollback_repos leaving={version}"
            plans.append(insync_plan.Plan(unit, what, before[unit], packages, files, [before[unit]]))
    _remake(root, plans, signer, by, test, say)
    return {"units": {plan.unit: plan.told() for plan in plans}}


def current(root):
    """Return what is current (dict: unit -> Manifest). Raises insync_manifest.RepositoryError, or OSError."""
    return root.current()


def manifests(root, unit):
    """Return every Manifest of ``unit`` (str) that is or was current, ascending. Raises as ``current``."""
    return root.history(unit)


def collect(root, test=True):
    """
    Remove the manifests that are beyond ``repos:retain``, and what no other names.

    test (bool): only tell. Returns a dict: manifests (list of ``unit/serial``), objects (list of checksums) and
    size (int): their bytes. Raises as ``current``.
    """
    kept, oldest = retained(root), time.time() - root.retain["days"] * DAY
    named = {entry["sha256"] for manifest in kept for entry in manifest.keys().values()}
    stay = {root.manifest(manifest.unit, manifest.serial) for manifest in kept}
    old = [path for path in sorted((root.folder / "manifests").glob("*/*/*.json")) if path not in stay]
    objects = {path: path.stat() for path in sorted((root.folder / "objects").glob("*/*")) if path.name not in named}
    objects = {path: found.st_size for path, found in objects.items() if found.st_mtime <= oldest}
    # First those that name: what is left of a run that is cut is only to be removed by the next.
    for path in () if test else [*old, *objects]:
        path.unlink()
    told = [f"{path.parent.parent.name}/{path.parent.name}/{path.stem}" for path in old]
    return {"manifests": told, "objects": [path.name for path in objects], "size": sum(objects.values())}


def retained(root):
    """
    Return what is kept (list of Manifest): the last serials, those current some days ago, and what is current.

    Raises as ``current``.
    """
    kept, oldest = [], time.time() - root.retain["days"] * DAY
    for unit in root.serials():
        there = manifests(root, unit)
        ends = [successor.date for successor in there[1:]]
        young = sum(end > oldest for end in ends) + 1
        kept += there[-max(young, root.retain["serials"], 1) :]
    return kept


def _remake(root, plans, signer, by, test, say):
    if plans and not test:
        with root.staging() as staging:
            builder = BUILDERS[root.name](root, signer, staging / "build")
            _make(root, builder, plans, signer, by, staging, say)


def _warn(signer, say):
    warning = signer.warning(signer.check())
    if warning:
        say(f"warning: {warning}")


def _make(root, builder, plans, signer, by, staging, say):
    """Build, check, and only then make it current."""
    stage, date = insync_root.Stage(staging / "tree"), insync_plan.date(plans)
    public = {"insync.asc": stage.put("insync.asc", signer.public())}

    def one(plan):
        parts = builder.build(dataclasses.replace(plan, date=date), stage)
        parts["legacy"] |= public
        return insync_manifest.Manifest(root.name, plan.unit, plan.serial, date, by, plan.what, plan.packages, **parts)

    say(f"build {_few([plan.unit for plan in plans])}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = list(pool.map(one, plans))
    say(f"check them with {'apt' if root.name == 'apt' else 'dnf'}")
    # For apt two at a time take half as long; for yum one knows more of what is the same.
    halves = [half for half in (made[::2], made[1::2]) if half] if root.name == "apt" else [made]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        folders = [staging / "check-1", staging / "check-2"]
        where, key = f"file://{stage.folder}", stage.folder / "insync.asc"
        list(pool.map(lambda half, folder: CHECKS[root.name](root, half, where, key, folder), halves, folders))
    root.keep(stage.files)
    root.commit(made)
    say(f"current: {_few([f'{manifest.unit} {manifest.serial}' for manifest in made])}")


def _few(words):
    return ", ".join(words if len(words) < 5 else [*words[:3], f"and {len(words) - 3} more"])
