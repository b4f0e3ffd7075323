"""An application's release on a server: the first is the highstate's business, every later one the release verbs'."""

import os

import insync_lock
import insync_slots
import insync_systemd
import insync_venv
import insync_watched
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_release"

_ERRORS = (insync_lock.Held, insync_slots.SlotError, insync_systemd.UnitError, insync_venv.VenvError)


def __virtual__():
    return __virtualname__


def serving(name, lock, link, slots, index, ca, slot=""):
    """
    Keep the release of the application ``name`` that is in service running; with none yet, install ``lock``.

    name (str): the application; its unit is ``<name>``, or ``<name>@<slot>`` if it has several slots.
    lock (str): the release of a blank server: requirements, each with ``==`` and hashes.
    link (str): leads to the virtualenv in use, which is ``<link>-<release id>``.
    slots (dict): slot -> port.
    slot (str): where the release of a blank server starts; the first one if empty.
    index (str): URL of the package index.
    ca (str): file with the certificate of the authority that vouches for the index.

    The record ``/var/lib/insync/<name>/state.json`` tells which release and slot are in service, and is written last.
    Once it is there, neither a new ``lock`` nor anything else here moves the release. A stopped unit is started, and
    one without slots restarted if a file that is watched is newer than its start.

    .. code-block:: yaml

        app-web-release:
          insync_release.serving:
            - name: web
            - lock: 'insync-web==1.0.0 --hash=sha256:...'
            - link: /insync/venv/web
            - slots: {blue: 8101, green: 8102}
            - index: https://dev.insync.internal/insync/stable/+simple/
            - ca: /etc/insync/fleet-ca.crt
            - watch:
              - file: app-web-unit
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    release = insync_slots.Slots(name, link, slots)
    try:
        with insync_lock.held(insync_slots.LOCK.format(name), "state.highstate", wait=insync_slots.WAIT):
            return _serving(ret, release, lock, slot, index, ca)
    except (SaltException, *_ERRORS, OSError) as exc:
        # Salt would call mod_watch, whose success would hide this.
        return {**ret, "result": False, "comment": f"{name}: {exc}", "skip_watch": True}


def _serving(ret, release, lock, slot, index, ca):
    record = release.record()
    first = record or _first(release, lock, slot)
    changes = {} if record else {"release": {"old": None, "new": first["release"]}}
    changes.update(_drift(release, first) if record else {})
    unit = release.unit(first["slot"])
    changes.update(_stopped(unit))
    stale = (
        record and len(release.slots) == 1 and insync_watched.newer(insync_watched.files(__low__, __lowstate__), unit)
    )
    if stale:
        changes[release.name] = "restarted"
    said = f"release {first['release']} serves as {unit}"
    if not changes:
        return {**ret, "comment": f"{said}; the release verbs move it, no highstate does"}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"{said}: would be so"}
    if not record:
        _install(release, lock, first, index, ca)
    _settle(release, first)
    _start(unit)
    if stale:
        _restart(unit)
    if not record:
        release.write(first["slot"], first["release"], previous=None, by="highstate")
    return {**ret, "changes": changes, "comment": said}


def mod_watch(name, slots, **kwargs):
    """Restart ``name`` because what it reads at its start has changed; one with several slots is left to the verbs."""
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} reads the new files at its next start"}
    if len(slots) > 1:
        if not __opts__["test"]:
            __salt__["service.systemctl_reload"]()
        return ret
    if __opts__["test"]:
        return {**ret, "changes": {name: "restarted"}, "result": None, "comment": f"{name} would be restarted"}
    try:
        _restart(name)
    except CommandExecutionError as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": {name: "restarted"}, "comment": f"{name} was restarted"}


def _first(release, lock, slot):
    if not lock:
        file = f"releases/{release.name}.txt"
        raise CommandExecutionError(f"no first release: the site folder has no {file}; see docs/web.md")
    return {"release": insync_venv.release_id(lock), "slot": slot or next(iter(release.slots))}


def _drift(release, record):
    """What does not lead to the release of the record any more, and would be missed at the next start only."""
    home, environment = release.home(record["release"]), release.environment(record["slot"])
    if not insync_venv.is_complete(home):
        raise CommandExecutionError(
            f"{home}, the release in service, is gone or half removed; bring it back or release anew"
        )
    found = {}
    if not release.is_prepared(record["slot"], record["release"]):
        found[str(environment)] = {"old": "differs", "new": f"release {record['release']}"}
    if os.path.realpath(release.link) != str(home):
        found[str(release.link)] = {"old": os.path.realpath(release.link), "new": str(home)}
    return found


def _settle(release, first):
    """Let settings and link lead to the release; what runs goes on."""
    release.prepare(first["slot"], first["release"])
    insync_venv.switch(release.link, release.home(first["release"]))


def _stopped(unit):
    wanted = {"enabled": __salt__["service.enabled"](unit), "running": __salt__["service.status"](unit)}
    missing = [key for key, true in wanted.items() if not true]
    return {unit: {"old": f"not {' and not '.join(missing)}", "new": " and ".join(missing)}} if missing else {}


def _install(release, lock, first, index, ca):
    insync_venv.build(release.home(first["release"]), lock, index=index, ca=ca)
    # What an earlier attempt with another lock may have left running.
    __salt__["service.stop"](release.unit(first["slot"]))


def _restart(unit):
    if not __salt__["service.restart"](unit):
        raise CommandExecutionError(f"{unit} does not restart: {insync_systemd.last_words(unit)}")


def _start(unit):
    if not __salt__["service.enabled"](unit):
        __salt__["service.enable"](unit)
    if not __salt__["service.start"](unit):
        said = insync_systemd.last_words(unit)
        raise CommandExecutionError(f"{unit} does not start: {said}; see 'journalctl -u {unit}'")
