"""
A release on one server: build it, start it beside the one in service, record it, stop the old one.

The steps that the release verbs on ct1 take on every server of a pool; nobody has to call them by hand. What they need
to know of an application, the component ``app`` writes into ``/etc/insync/<app>/release.json``.
"""

import json
import shutil
import time

import insync_errors
import insync_http
import insync_inventory
import insync_lock
import insync_request
import insync_slots
import insync_systemd
import insync_venv
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync_slot"

GOOD_ANSWERS = 3
FREE_MIB = 512

_told = insync_errors.told(insync_lock.Held, insync_slots.SlotError, insync_systemd.UnitError, insync_venv.VenvError)


def __virtual__():
    return __virtualname__


@_told
def status(app):
    """
    Tell which release of an application is in service here, and what each of its slots runs.

    app (str): an application with slots, such as ``web``.

    Returns a dict: release, slot, previous, since, by (as recorded; None where there is no release yet), slots (for
    each: active, enabled, pid, release, port), releases (those that are here), package, index, and free_mib where
    virtualenvs are kept.
    Raises SaltInvocationError for an application that this server does not run.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.status web
    """
    facts, slots = _app(app)
    nothing = dict.fromkeys(("release", "slot", "previous", "since", "by"))
    found = {}
    for slot, port in slots.slots.items():
        unit = slots.unit(slot)
        runs = {**insync_systemd.state(unit), "enabled": insync_systemd.enabled(unit)}
        found[slot] = {**runs, "release": slots.prepared(slot), "port": port}
    told = {key: facts[key] for key in ("package", "index", "ca")}
    told["releases"] = [home.name.removeprefix(f"{slots.link.name}-") for home in _homes(slots)]
    return {**nothing, **(slots.record() or {}), "slots": found, "free_mib": _free(slots), **told}


@_told
def lock(app, release):
    """
    Return the lock (str) that a release of an application here was built from: requirements with hashes.

    app (str): the application.
    release (str): the id of a release that is here.
    Raises CommandExecutionError if it is not.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.lock web 0d2c4f1a9b7e
    """
    _, slots = _app(app)
    return slots.lock(release).read_text(encoding="utf-8")


@_told
def writes(app, seconds=30):
    """
    See that an application's release in service here can write: it is asked for what pillar declares as such a request.

    app (str): the application. seconds (float): for how long it may take until it does, as after a switch of its
    database.

    Returns its answer's status (int), None if pillar declares no such request. Raises CommandExecutionError with its
    last answer.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.writes web
    """
    facts, slots = _app(app)
    asked = facts.get("writes")
    if not asked:
        return None
    url = _url(facts, slots.slots[_in_service(slots, app)["slot"]], asked["path"])
    deadline = time.monotonic() + float(seconds)
    while True:
        status, said = insync_http.post(url, asked["form"], ca=facts["ca"])
        if status in asked["good"]:
            return status
        if time.monotonic() > deadline:
            raise CommandExecutionError(f"POST {url}: {status or ''} {' '.join(said.split())[:300]}")
        time.sleep(0.2)


@_told
def build(app, pins, test=False):
    """
    Build the virtualenv of a release, unless it is here already; those of old ones are removed before.

    app (str): the application.
    pins (str): the lock: requirements, each with ``==`` and hashes.
    test (bool): only tell what would change.

    Returns a dict: release (its id), built (bool), seconds (float).
    Raises CommandExecutionError that says why it cannot be built; nothing half built stays.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.build web "$(cat web.txt)"
    """
    facts, slots = _app(app)
    release, began = insync_venv.release_id(pins), time.monotonic()
    if test:
        return {"release": release, "built": False, "seconds": 0.0}
    if not insync_venv.is_complete(slots.home(release)):
        prune(app)
    if _free(slots) < FREE_MIB:
        left = f"only {_free(slots)} MiB are free in {slots.link.parent}"
        more = f"'insync_slot.prune {app} keep=0' leaves only what is in use"
        raise CommandExecutionError(f"{left}, a release needs {FREE_MIB}; {more}")
    built = insync_venv.build(slots.home(release), pins, former=slots.link, index=facts["index"], ca=facts["ca"])
    return {"release": release, "built": built, "seconds": round(time.monotonic() - began, 2)}


@_told
def up(app, slot, release, seconds=40, test=False):
    """
    Start a release in a slot that is not in service, and wait until it is as good as the one in service.

    app (str): the application.
    slot (str): the slot; what an earlier release left running there is stopped first.
    release (str): the id of a release that was built here.
    seconds (int): for how long it may take to become ready.
    test (bool): only tell what would change.

    Returns a dict: pid (int), seconds (float). It is ready when it answered as this release several times in a row,
    says that nothing it needs is missing, and answers its smoke paths with 200.
    Raises CommandExecutionError with its last answer and the last lines of its log; it is stopped again then.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.up web green 0d2c4f1a9b7e
    """
    facts, slots = _app(app)
    unit = _unit(slots, slot)
    with _alone(app, "up"):
        _not_in_service(slots, slot)
        if not insync_venv.is_complete(slots.home(release)):
            raise CommandExecutionError(f"{slots.home(release)} is not there or half built; release it anew")
        if test:
            return {"pid": 0, "seconds": 0.0}
        _stop(slots, slot)
        slots.prepare(slot, release)
        began = time.monotonic()
        try:
            insync_systemd.systemctl("start", unit)
            _ready(facts, slots.slots[slot], release, began + seconds)
        except (insync_systemd.UnitError, insync_http.NotReady) as exc:
            said = insync_systemd.last_words(unit, lines=5)
            _stop(slots, slot)
            raise CommandExecutionError(f"{unit}: {exc}; its log ends with:\n{said}") from exc
        return {"pid": int(insync_systemd.state(unit)["pid"]), "seconds": round(time.monotonic() - began, 2)}


@_told
def hold(app, slot, release):
    """
    Keep a slot that still serves a release from being stopped later, because it is asked again.

    app, slot, release (str): as for ``up``.

    Returns True. Raises CommandExecutionError, with what it answered, if it does not serve that release any more.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.hold web blue 0d2c4f1a9b7e
    """
    facts, slots = _app(app)
    unit = _unit(slots, slot)
    with _alone(app, "hold"):
        _forget_stop(slots, slot)
        try:
            if insync_systemd.state(unit)["active"] != "active":
                raise CommandExecutionError(f"{unit} does not run any more")
            _ready(facts, slots.slots[slot], release, time.monotonic() + 5, answers=1)
        except insync_http.NotReady as exc:
            raise CommandExecutionError(str(exc)) from exc
        return True


@_told
def commit(app, slot, release, previous=None, by="", test=False):
    """
    Record that a release is in service in a slot, and let a reboot start that one.

    app, slot, release (str): as for ``up``.
    previous (str): the release to come back to; None if there is none.
    by (str): who moved it.
    test (bool): only tell what would change.

    Returns a dict: changes. Raises CommandExecutionError if it cannot be recorded.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.commit web green 0d2c4f1a9b7e by=alice
    """
    _, slots = _app(app)
    unit = _unit(slots, slot)
    with _alone(app, "commit"):
        before = slots.record() or {}
        changes = {key: {"old": before.get(key), "new": new} for key, new in (("release", release), ("slot", slot))}
        changes = {key: change for key, change in changes.items() if change["old"] != change["new"]}
        if test:
            return {"changes": changes}
        # The record first: where the disk is full nothing else has moved. To put back what has not needs no room.
        if changes or before.get("previous") != previous:
            slots.write(slot, release, previous, by)
        insync_venv.switch(slots.link, slots.home(release))
        # At no moment does a reboot start neither. Without a reload, for which systemd runs so much that customers
        # notice; until there is another one, 'systemctl status' tells the former state, and 'is-enabled' the true one.
        insync_systemd.systemctl("enable", "--quiet", "--no-reload", unit)
        others = [slots.unit(other) for other in slots.slots if other != slot]
        insync_systemd.systemctl("disable", "--quiet", "--no-reload", *others)
        return {"changes": changes}


@_told
def down(app, slot, after=0, wait=True, test=False):
    """
    Stop a slot that is not in service; what it has begun it ends.

    app, slot (str): as for ``up``.
    after (int): in how many seconds; until then it can be come back to at once.
    wait (bool): whether to wait for its end.
    test (bool): only tell what would change.

    Returns a dict: changes. Raises CommandExecutionError for the slot in service.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.down web blue after=600
    """
    _, slots = _app(app)
    unit = _unit(slots, slot)
    with _alone(app, "down"):
        _not_in_service(slots, slot)
        if insync_systemd.state(unit)["active"] == "inactive":
            return {"changes": {}}
        if not test:
            _stop(slots, slot, after, wait)
        return {"changes": {unit: {"old": "running", "new": f"stops in {after} s" if after else "stopped"}}}


@_told
def restart(app, seconds=40, test=False):
    """
    Restart the slot in service where it is; for a server that the load balancer does not ask at the moment.

    app (str): the application.
    seconds (int): for how long it may take to become ready again.
    test (bool): only tell what would change.

    Returns a dict: release, slot, pid, seconds. Raises CommandExecutionError if it does not come back.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.restart web
    """
    facts, slots = _app(app)
    began = time.monotonic()
    with _alone(app, "restart"):
        record = _in_service(slots, app)
        told = {key: record[key] for key in ("release", "slot")}
        if test:
            return {**told, "pid": 0, "seconds": 0.0}
        unit = slots.unit(record["slot"])
        try:
            insync_systemd.systemctl("restart", unit)
            _ready(facts, slots.slots[record["slot"]], record["release"], began + seconds)
        except (insync_systemd.UnitError, insync_http.NotReady) as exc:
            said = insync_systemd.last_words(unit, lines=5)
            raise CommandExecutionError(f"{unit}: {exc}; its log ends with:\n{said}") from exc
        pid = int(insync_systemd.state(unit)["pid"])
        return {**told, "pid": pid, "seconds": round(time.monotonic() - began, 2)}


@_told
def swap(app, release, previous=None, by="", seconds=40, test=False):
    """
    Let an application that has one slot run a release: restart it, and go back to the former one if that is not good.

    app (str): the application.
    release (str): the id of a release that was built here; the one that runs is only restarted.
    previous (str): the release to come back to; None if there is none.
    by (str): who moves it.
    seconds (int): for how long it may take to become ready.
    test (bool): only tell what would change.

    Returns a dict: changes, pid, seconds. What it needs and did not have before, it may lack afterwards.
    Raises CommandExecutionError with its last answer and the last lines of its log; the former release runs again then.

    CLI Example:

    .. code-block:: bash

        salt beanstalkd insync_slot.swap mailer 0d2c4f1a9b7e
    """
    facts, slots = _app(app)
    ((slot, port),) = _only(slots).items()
    began = time.monotonic()
    with _alone(app, "swap"):
        record = _in_service(slots, app)
        old = record["release"]
        if not insync_venv.is_complete(slots.home(release)):
            raise CommandExecutionError(f"{slots.home(release)} is not there or half built; release it anew")
        changes = {"release": {"old": old, "new": release}} if release != old else {app: "restarted"}
        if test:
            return {"changes": changes, "pid": 0, "seconds": 0.0}
        good = _ready if insync_http.get(_url(facts, port, facts["readiness"]), facts["ca"])[0] == 200 else _lives
        try:
            _run(slots, slot, release)
            good(facts, port, release, began + seconds)
            slots.write(slot, release, previous, by)
            insync_venv.switch(slots.link, slots.home(release))
        except (insync_systemd.UnitError, insync_http.NotReady, OSError) as exc:
            said = insync_systemd.last_words(slots.unit(slot), lines=5)
            _run(slots, slot, old)
            if slots.record() != record:
                slots.write(slot, old, record["previous"], record["by"])
            raise CommandExecutionError(f"{slots.unit(slot)}: {exc}; its log ends with:\n{said}") from exc
        pid = int(insync_systemd.state(slots.unit(slot))["pid"])
        return {"changes": changes, "pid": pid, "seconds": round(time.monotonic() - began, 2)}


@_told
def prune(app, keep=3, test=False):
    """
    Remove virtualenvs of old releases.

    app (str): the application.
    keep (int): how many of the newest stay, beside the one in service, the one to come back to, and any that runs.
    test (bool): only tell what would change.

    Returns the list of what was removed (str).

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.prune web
    """
    _, slots = _app(app)
    with _alone(app, "prune"):
        record = slots.record() or {}
        used = {record.get("release"), record.get("previous")}
        used |= {slots.prepared(slot) for slot in slots.slots}
        newest = sorted(slots.link.parent.glob(f"{slots.link.name}-*/"), key=lambda home: -home.stat().st_mtime)
        old = [home for home in newest[keep:] if home.name.removeprefix(f"{slots.link.name}-") not in used]
        for home in old if not test else []:
            insync_venv.remove(home)
        return [str(home) for home in old]


@_told
def answer(app, jid, said):
    """
    Leave what became of a request where the job that made it waits for it.

    app (str): the application. jid (str): the job. said (dict): ``done``, what was done, or ``error``, why not.

    Returns True.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_slot.answer web 20261125220000000000 '{error: not today}'
    """
    _app(app)
    insync_request.put(app, jid, said)
    return True


def _app(app):
    file = insync_slots.SETTINGS / str(app) / "release.json"
    if not file.exists():
        known = sorted(path.parent.name for path in insync_slots.SETTINGS.glob("*/release.json"))
        raise SaltInvocationError(f"{app}: no application of this server{insync_inventory.hint(app, known)}")
    facts = json.loads(file.read_text(encoding="utf-8"))
    return facts, insync_slots.Slots(app, facts["virtualenv"], facts["slots"])


def _unit(slots, slot):
    if slot not in slots.slots:
        raise SaltInvocationError(f"{slots.name} has no slot '{slot}'; its slots are {', '.join(slots.slots)}")
    return slots.unit(slot)


def _alone(app, what):
    lock = insync_slots.LOCK.format(app)
    return insync_lock.held(lock, f"insync_slot.{what} {app}", wait=insync_slots.WAIT)


def _not_in_service(slots, slot):
    if (slots.record() or {}).get("slot") == slot:
        raise CommandExecutionError(f"{slots.unit(slot)} is in service; nothing was done")


def _in_service(slots, app):
    record = slots.record()
    if not record:
        raise CommandExecutionError(f"{app} has no release here yet; the highstate installs the first one")
    return record


def _only(slots):
    if len(slots.slots) > 1:
        raise SaltInvocationError(f"{slots.name} has several slots; 'insync_slot.up' starts a release in the idle one")
    return slots.slots


def _run(slots, slot, release):
    slots.prepare(slot, release)
    insync_systemd.systemctl("restart", slots.unit(slot))


def _later(slots, slot):
    """The transient units that stop a slot later."""
    return f"insync-stop-{slots.name}-{slot}"


def _forget_stop(slots, slot):
    for pending in (f"{_later(slots, slot)}.timer", f"{_later(slots, slot)}.service"):
        if insync_systemd.state(pending)["active"] != "inactive":
            insync_systemd.systemctl("stop", pending)


def _stop(slots, slot, after=0, wait=True):
    unit = slots.unit(slot)
    _forget_stop(slots, slot)
    if after:
        insync_systemd.later(_later(slots, slot), after, "systemctl", "stop", unit)
        return
    if not wait:
        insync_systemd.systemctl("stop", "--no-block", unit)
        return
    insync_systemd.systemctl("stop", unit)
    if insync_systemd.state(unit)["active"] == "failed":
        insync_systemd.systemctl("reset-failed", unit)


def _ready(facts, port, release, deadline, answers=GOOD_ANSWERS):
    _lives(facts, port, release, deadline, answers)
    for path in (facts["readiness"], *facts["smoke"]):
        insync_http.wait_for(_url(facts, port, path), deadline if path == facts["readiness"] else 0, ca=facts["ca"])


def _lives(facts, port, release, deadline, answers=GOOD_ANSWERS):
    insync_http.wait_for(_url(facts, port, f"/healthz?release={release}"), deadline, answers, ca=facts["ca"])


def _url(facts, port, path):
    return f"{facts.get('scheme', 'http')}://{facts['address']}:{port}{path}"


def _homes(slots):
    return [home for home in slots.link.parent.glob(f"{slots.link.name}-*/") if insync_venv.is_complete(home)]


def _free(slots):
    there = next(path for path in (slots.link.parent, *slots.link.parent.parents) if path.exists())
    return shutil.disk_usage(there).free // 2**20
