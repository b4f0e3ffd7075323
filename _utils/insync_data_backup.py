"""Backups of what services keep beside MariaDB: which there are, how each is made, and how it comes back."""

import contextlib
import datetime
import json
import pathlib
import shutil
import time

import insync_data_copy
import insync_data_declared
import insync_data_place
import insync_db_record
import insync_restic
import insync_systemd

# Who may read it is root; others pass through, to what they copy themselves.
FOLDER = pathlib.Path("/var/lib/insync-backup")
RECORD = pathlib.Path("/var/lib/insync/backups.json")
AREA = "backup"
NEWEST = "newest"
ALL = "data"
_MANIFEST = "manifest.json"


class DataError(ValueError):
    """There is no such backup, or it may not be restored now; the message says which, and why."""


def of_server(pillar, server):
    """
    Return (insync_restic.Repository, dict: kind -> how) of ``server`` (str); pillar (dict): its own.

    Raises DataError if it has nothing to back up.
    """
    there = of_pillar(pillar)
    if not there:
        raise DataError("this server has no data to back up, as far as is declared")
    where, secrets = pillar["backup_store"], pillar["secrets"]["backup"]
    return repository(where, server, secrets["password"], secrets["s3_access_key"], secrets["s3_secret_key"]), there


def of_pillar(pillar):
    """Return what a server with this ``pillar`` (dict) backs up (dict: kind -> how), with the engines that it has."""
    declared = {kind: pillar["backup"][kind] for kind in pillar["backup_kinds"]}
    return {kind: how for kind, how in declared.items() if insync_data_declared.applies(how, pillar)}


def repository(where, server, password, access, secret):
    """Return the insync_restic.Repository of ``server`` (str); where (dict): bucket, endpoint, region."""
    keys = {"access": access, "secret": secret, "region": where["region"]}
    return insync_restic.Repository(insync_restic.address(where, server), password, keys, server)


def chosen(there, kind, others=()):
    """
    Return those of ``there`` (dict) that are meant by ``kind`` (str): one of them, or all by ``data``.

    others (tuple of str): what else could have been said. Raises DataError if ``kind`` is none of them.
    """
    if kind == ALL:
        return there
    if kind not in there:
        raise DataError(f"kind={kind}: there is {', '.join([ALL, *there, *others])}")
    return {kind: there[kind]}


def one_of(there, kind):
    """Return how the one ``kind`` (str) of ``there`` (dict) is backed up. Raises DataError if it is none of them."""
    if kind not in there:
        raise DataError(f"kind={kind}: there is {', '.join(there)}; they come back one by one")
    return there[kind]


def counted(repository, there):
    """Return how many backups there are (dict: kind -> int) of ``there`` (dict); 0 of all, before there is any."""
    found = [one["kind"] for one in repository.snapshots()]
    return {kind: found.count(kind) for kind in there}


def backup(repository, there, journal):
    """
    Back up ``there`` (dict: kind -> how), one kind after the other; a kind that fails keeps no other from its turn.

    repository (insync_restic.Repository). journal (insync_journal.Journal): told of every phase.
    Returns a dict: kind -> {snapshot, bytes, added, seconds}. Raises DataError naming those that failed.
    """
    made, failed = {}, []
    repository.prepare()
    for kind, how in there.items():
        begun = time.monotonic()
        try:
            with journal.phase("backup", kind):
                made[kind] = _backup(repository, kind, how)
        except (insync_data_copy.CopyError, insync_restic.ResticError, OSError, ValueError) as exc:
            failed.append(f"{kind}: {exc}")
            continue
        made[kind]["seconds"] = round(time.monotonic() - begun, 1)
        insync_db_record.note(kind, made[kind], RECORD)
    if failed:
        good = f" (good: {', '.join(made)})" if made else ""
        raise DataError(f"{'; '.join(failed)}{good}")
    return made


def _backup(repository, kind, how):
    copied = _place("copy", kind)
    with _emptied(copied):
        found = insync_data_copy.copy(how, copied)
        # Written last: it names all the others.
        text = json.dumps({"server": repository.host, "kind": kind, **found}, indent=1)
        (copied / _MANIFEST).write_text(text, encoding="utf-8")
        return repository.backup([str(copied), *found["files"]], kind, found["exclude"])


def listed(repository, there, limit):
    """Return the backups (dict: kind -> list of dict: id, age_hours) of ``there`` (dict), ``limit`` (int) of each."""
    found = repository.snapshots()
    now = datetime.datetime.now(datetime.UTC)
    return {
        kind: [
            {"id": one["id"], "age_hours": round(_age(one["time"], now), 1)} for one in found if one["kind"] == kind
        ][:limit]
        for kind in there
    }


def age_hours(moment):
    """Return how many hours (float) ago ``moment`` (str, as restic writes it) was."""
    return _age(moment, datetime.datetime.now(datetime.UTC))


def _age(moment, now):
    # It writes nanoseconds, which Python does not read.
    seconds, _, rest = moment.partition(".")
    zone = rest.lstrip("0123456789") or "+00:00"
    when = datetime.datetime.fromisoformat(f"{seconds}{zone.replace('Z', '+00:00')}" if rest else moment)
    return (now - when) / datetime.timedelta(hours=1)


def restore(repository, kind, how, snapshot, journal, aside=False, test=True):
    """
    Bring the backup ``snapshot`` (str, or ``newest``) of ``kind`` (str) back, whole and looked at before it is used.

    how (dict): as the role declares it; its units are stopped while the data is exchanged, and only then.
    aside (bool): move what is there aside; without it, data that is there is a refusal. Nothing is ever removed.
    test (bool): only tell the plan.

    Returns a dict: kind, backup, age_hours, and of the plan targets (list of str) and there (those that have data), of
    the restore targets, aside (dict: from -> to) and seconds. Raises DataError, insync_data_copy.CopyError,
    insync_restic.ResticError; everything is as before then.
    """
    begun, one = time.monotonic(), _snapshot(repository, kind, snapshot)
    told = {"kind": kind, "backup": one["id"], "age_hours": round(age_hours(one["time"]), 1)}
    root = _place("restored", kind)
    with _emptied(root):
        root.mkdir()
        root.chmod(0o711)
        with journal.phase("fetch", one["id"]):
            repository.restore(one["id"], root)
        copied = root / str(_place("copy", kind)).lstrip("/")
        for parent in copied.parents:
            if root in parent.parents:
                parent.chmod(0o711)
        found = _manifest(copied, kind)
        there = insync_data_place.occupied(found)
        with journal.phase("check", kind):
            insync_data_place.check(found, copied, root)
        plan = {**told, "targets": insync_data_place.targets(found), "there": there}
        if test:
            return plan
        if there and not aside:
            more = "aside=True moves it aside, beside what is restored"
            raise DataError(f"there is data: {', '.join(there)}; {more}. Nothing was changed")
        stamp = datetime.datetime.now(datetime.UTC).strftime(f"{insync_data_copy.ASIDE}%Y%m%dt%H%M%S")
        with journal.phase("put in place", kind), _stopped(how["units"] if "units" in how else []):
            moved = insync_data_place.put(found, copied, root, stamp)
            if "after" in how:
                insync_data_copy.run(how["after"])
    seconds = round(time.monotonic() - begun, 1)
    return {**told, "targets": plan["targets"], "aside": moved, "seconds": seconds}


def _snapshot(repository, kind, snapshot):
    there = repository.snapshots(kind)
    if not there:
        raise DataError(f"there is no backup of {kind} in {repository.address}")
    if snapshot == NEWEST:
        return there[0]
    for one in there:
        if one["id"] == snapshot:
            return one
    raise DataError(f"backup={snapshot}: there is none of {kind} with that id; 'insync.backups' lists them")


def _manifest(copied, kind):
    try:
        found = json.loads((copied / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DataError(f"the backup has no manifest that can be read: {exc}") from exc
    if found.get("kind") != kind:
        raise DataError(f"the backup is one of {found.get('kind')}, not of {kind}")
    return found


@contextlib.contextmanager
def _stopped(patterns):
    """Stop the units that run and that ``patterns`` (list of str) fit; start them again, however it ends."""
    running = [unit for pattern in patterns for unit in insync_systemd.not_at_rest(pattern)]
    if running:
        insync_systemd.systemctl("stop", *running)
    try:
        yield
    finally:
        if running:
            insync_systemd.systemctl("start", *running)


def _place(what, kind):
    return FOLDER / what / kind


@contextlib.contextmanager
def _emptied(folder):
    """A folder that is not there before, nor afterwards: what is in it are secrets of others."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent in (FOLDER, folder.parent):
        parent.mkdir(exist_ok=True)
        parent.chmod(0o711)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
