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
    try:
        record = _read(name)
        first = record or {"release": insync_venv.release_id(lock), "slot": next(iter(slots))}
        unit = _unit(name, first["slot"], slots)
        changes = {} if record else {"release": {"old": None, "new": first["release"]}}
        changes.update(_stopped(unit))
        said = f"release {first['release']} serves as {unit}"
        if not changes:
            return {**ret, "comment": f"{said}; the release verbs move it, no highstate does"}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{said} would be true"}
        if not record:
            _install(name, lock, link, first, slots, index, ca)
        _start(unit)
        if not record:
            _write(name, first)
    except (SaltException, insync_venv.VenvError, OSError, ValueError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": said}


def mod_watch(name, slots, **kwargs):
    """Restart ``name`` because what it reads at its start has changed; one with several slots is left to the verbs."""
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} reads the new files at its next start"}
    if len(slots) > 1:
        __salt__["service.systemctl_reload"]()
        return ret
    if __opts__["test"]:
        return {**ret, "changes": {name: "restarted"}, "result": None, "comment": f"{name} would be restarted"}
    if not __salt__["service.restart"](name):
        return {**ret, "result": False, "comment": f"{name} does not restart: {_last_words(name)}"}
    return {**ret, "changes": {name: "restarted"}, "comment": f"{name} was restarted"}


def _unit(name, slot, slots):
    return f"{name}@{slot}" if len(slots) > 1 else name


def _read(name):
    path = _RECORDS / name / "state.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    if not {"release", "slot"} <= record.keys():
        raise CommandExecutionError(f"{path} names no release and slot; see what {name} runs and mend it")
    return record


def _write(name, first):
    folder = _RECORDS / name
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = {**first, "previous": None, "since": since, "by": "highstate"}
    _replace(folder / "state.json", json.dumps(record, indent=2) + "\n")


def _stopped(unit):
    wanted = {"enabled": __salt__["service.enabled"](unit), "running": __salt__["service.status"](unit)}
    missing = [key for key, true in wanted.items() if not true]
    return {unit: {"old": f"not {' and not '.join(missing)}", "new": " and ".join(missing)}} if missing else {}


def _install(name, lock, link, first, slots, index, ca):
    link = pathlib.Path(link)
    home = link.with_name(f"{link.name}-{first['release']}")
    insync_venv.build(home, lock, index=index, ca=ca)
    settings = {"VENV": home, "RELEASE": first["release"], "SLOT": first["slot"], "PORT": slots[first["slot"]]}
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    _replace(_SETTINGS / name / f"{first['slot']}.env", text)
    insync_venv.switch(link, home)
    # What an earlier attempt with another lock may have left running.
    __salt__["service.stop"](_unit(name, first["slot"], slots))


def _start(unit):
    if not __salt__["service.enabled"](unit):
        __salt__["service.enable"](unit)
    if not __salt__["service.start"](unit):
        raise CommandExecutionError(f"{unit} does not start: {_last_words(unit)}; see 'journalctl -u {unit}'")


def _last_words(unit):
    command = ["journalctl", "--unit", unit, "--lines=20", "--output=cat", "--no-pager"]
    lines = __salt__["cmd.run_stdout"](command, python_shell=False, ignore_retcode=True).splitlines()
    systemd = ("Started", "Starting", "Stopped", "Failed", unit)
    own = [line for line in lines if line.strip() and not line.startswith(systemd)]
    return " ".join((own or lines or ["it said nothing"])[-1].split())[:300]


def _replace(path, text):
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
