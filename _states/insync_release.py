"""An application's release on a server: the first is the highstate's business, every later one the release verbs'."""

import datetime
import json
import os
import pathlib

import insync_venv
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_release"

_RECORDS = pathlib.Path("/var/lib/insync")
_SETTINGS = pathlib.Path("/etc/insync")


def __virtual__():
    return __virtualname__


def serving(name, lock, link, slots, index, ca):
    """
    Keep the release of the application ``name`` that is in service running; with none yet, install ``lock`` first.

    name (str): the application; its unit is ``<name>``, or ``<name>@<slot>`` if it has several slots.
    lock (str): the first release: requirements, each with ``==`` and hashes.
    link (str): leads to the virtualenv in use, which is ``<link>-<release id>``.
    slots (dict): slot -> port. The first release starts in the first one.
    index (str): URL of the package index.
    ca (str): file with the certificate of the authority that vouches for the index.

    The record ``/var/lib/insync/<name>/state.json`` tells which release and slot are in service, and is written last.
    Once it is there, neither a new ``lock`` nor anything else here moves the release; a stopped unit is started.

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
    release = _Release(name, link, slots)
    try:
        record = _read(name, slots)
        first = record or _first(name, lock, slots)
        changes = {} if record else {"release": {"old": None, "new": first["release"]}}
        changes.update(_drift(release, first) if record else {})
        changes.update(_stopped(release.unit(first["slot"])))
        said = f"release {first['release']} serves as {release.unit(first['slot'])}"
        if not changes:
            return {**ret, "comment": f"{said}; the release verbs move it, no highstate does"}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{said}: would be so"}
        if not record:
            _install(release, lock, first, index, ca)
        _settle(release, first)
        _start(release.unit(first["slot"]))
        if not record:
            _write(name, first)
    except (SaltException, insync_venv.VenvError, OSError) as exc:
        # Salt would call mod_watch, whose success would hide this.
        return {**ret, "result": False, "comment": f"{name}: {exc}", "skip_watch": True}
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
    if not __salt__["service.restart"](name):
        return {**ret, "result": False, "comment": f"{name} does not restart: {_last_words(name)}"}
    return {**ret, "changes": {name: "restarted"}, "comment": f"{name} was restarted"}


class _Release:
    """Where the parts of an application's release are on this server."""

    def __init__(self, name, link, slots):
        self.name, self.link, self.slots = name, pathlib.Path(link), slots

    def unit(self, slot):
        return f"{self.name}@{slot}" if len(self.slots) > 1 else self.name

    def home(self, release):
        return self.link.with_name(f"{self.link.name}-{release}")

    def environment(self, slot):
        return _SETTINGS / self.name / f"{slot}.env"

    def text(self, first):
        slot = first["slot"]
        found = {
            "VENV": self.home(first["release"]),
            "RELEASE": first["release"],
            "SLOT": slot,
            "PORT": self.slots[slot],
        }
        return "".join(f"{key}={value}\n" for key, value in found.items())


def _read(name, slots):
    path = _RECORDS / name / "state.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["release"] and record["slot"] in slots:
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise CommandExecutionError(f"{path} names no release and slot of it; see what {name} runs, and mend or remove it")


def _first(name, lock, slots):
    if not lock:
        raise CommandExecutionError(f"no first release: the site folder has no releases/{name}.txt; see docs/web.md")
    return {"release": insync_venv.release_id(lock), "slot": next(iter(slots))}


def _write(name, first):
    folder = _RECORDS / name
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _replace(
        folder / "state.json",
        json.dumps({**first, "previous": None, "since": since, "by": "highstate"}, indent=2) + "\n",
    )


def _drift(release, record):
    """What does not lead to the release of the record any more, and would be missed at the next start only."""
    home, environment = release.home(record["release"]), release.environment(record["slot"])
    if not insync_venv.is_complete(home):
        raise CommandExecutionError(
            f"{home}, the release in service, is gone or half removed; bring it back or release anew"
        )
    found = {}
    if not environment.exists() or environment.read_text(encoding="utf-8") != release.text(record):
        found[str(environment)] = {"old": "differs", "new": f"release {record['release']}"}
    if os.path.realpath(release.link) != str(home):
        found[str(release.link)] = {"old": os.path.realpath(release.link), "new": str(home)}
    return found


def _settle(release, first):
    """Let settings and link lead to the release; what runs goes on."""
    _replace(release.environment(first["slot"]), release.text(first))
    insync_venv.switch(release.link, release.home(first["release"]))


def _stopped(unit):
    wanted = {"enabled": __salt__["service.enabled"](unit), "running": __salt__["service.status"](unit)}
    missing = [key for key, true in wanted.items() if not true]
    return {unit: {"old": f"not {' and not '.join(missing)}", "new": " and ".join(missing)}} if missing else {}


def _install(release, lock, first, index, ca):
    insync_venv.build(release.home(first["release"]), lock, index=index, ca=ca)
    # What an earlier attempt with another lock may have left running.
    __salt__["service.stop"](release.unit(first["slot"]))


def _start(unit):
    if not __salt__["service.enabled"](unit):
        __salt__["service.enable"](unit)
    if not __salt__["service.start"](unit):
        raise CommandExecutionError(f"{unit} does not start: {_last_words(unit)}; see 'journalctl -u {unit}'")


def _last_words(unit):
    """The last line of the last start that tells why: the application's own, else what systemd says of the unit."""
    shown = ["systemctl", "show", "--property=InvocationID", "--value", unit]
    invocation = __salt__["cmd.run_stdout"](shown, python_shell=False, ignore_retcode=True).strip()
    journal = ["journalctl", "--lines=20", "--output=cat", "--no-pager"]
    for match in ([f"_SYSTEMD_INVOCATION_ID={invocation}"], [f"--unit={unit}"]):
        lines = __salt__["cmd.run_stdout"]([*journal, *match], python_shell=False, ignore_retcode=True).splitlines()
        told = [" ".join(line.split()) for line in lines if line.strip()]
        if told:
            return told[-1][:300]
    return "it said nothing"


def _replace(path, text):
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
