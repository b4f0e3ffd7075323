"""Units of systemd that run, and have read the files that they watch; and units that are gone."""

import glob
import pathlib
import shutil
import time

import insync_systemd
import insync_watched
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync_unit"

# Some end a moment after systemd has called their start a success.
_SETTLED_SECONDS = 0.5
# Where a unit is enabled, what it is, and what is changed in it.
_PLACES = ("*.wants/{}", "*.requires/{}", "{}", "{}.d")


def __virtual__():
    return __virtualname__


def running(name, reload=False, **_):
    """
    Keep a unit enabled and running, and restart it if a file that it watches is newer than its start.

    name (str): the unit.
    reload (bool): reload it instead.

    Salt's own ``service.running`` restarts in the run that changed the file only: what that run did not come to,
    because something else failed, no later one would make up for.

    .. code-block:: yaml

        redis-service:
          insync_unit.running:
            - name: redis-server
            - watch:
              - file: redis-config
    """
    return _apply(name, reload, forced=False)


def absent(name):
    """
    Stop and disable a unit, and remove its file and drop-ins from /etc/systemd/system; what a package brings stays.

    name (str): the unit; of a template such as ``license@`` all instances are meant.

    .. code-block:: yaml

        devpi-absent-unit:
          insync_unit.absent:
            - name: devpi
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"there is no {name}"}
    try:
        pattern = _pattern(name)
        units = insync_systemd.not_at_rest(pattern)
        files = _files(pattern)
        changes = {unit: "forget its failure" if state == "failed" else "stop" for unit, state in units.items()}
        changes.update({str(path): "remove" for path in files})
        if not changes:
            return ret
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{name} would be removed"}
        _remove(units, files)
    except (insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"{name} was removed"}


def _pattern(name):
    """The unit's full name, of a template with * for all of its instances, and itself."""
    full = name if name.endswith((".service", ".socket", ".timer", ".path")) else f"{name}.service"
    return full.replace("@.", "@*.")


def _files(pattern):
    """Also a link that leads nowhere any more, because the package is gone: pathlib's own glob does not find it."""
    found = (sorted(glob.glob(str(insync_systemd.FOLDER / place.format(pattern)))) for place in _PLACES)
    return [pathlib.Path(path) for paths in found for path in paths]


def _remove(units, files):
    if units:
        insync_systemd.systemctl("stop", *units)
    for path in files:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    insync_systemd.systemctl("daemon-reload")
    # A failure is remembered beyond the unit's file; it may be of the stop.
    failed = [unit for unit in units if insync_systemd.state(unit)["active"] == "failed"]
    if failed:
        insync_systemd.systemctl("reset-failed", *failed)


def mod_watch(name, reload=False, **_):
    """Restart the unit, or reload it, because what it watches has changed; in test mode it is not yet newer."""
    return _apply(name, reload, forced=True)


def _apply(name, reload, forced):
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} runs, with what its files say"}
    try:
        state = insync_systemd.state(name)
        verb = _verb(name, state, reload, forced)
        todo = [] if insync_systemd.enabled(name) in ("enabled", "static") else ["enable"]
        todo += [verb] if verb else []
        if not todo:
            return ret
        changes = {name: ", ".join(todo)}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{name}: {changes[name]}"}
        insync_systemd.systemctl("daemon-reload")
        for one in todo:
            insync_systemd.systemctl(one, "--quiet", name)
        _check(name, verb)
    except insync_systemd.UnitError as exc:
        return {**ret, "result": False, "comment": _why(name, exc), "skip_watch": True}
    except CommandExecutionError as exc:
        return {**ret, "result": False, "comment": str(exc), "skip_watch": True}
    return {**ret, "changes": changes, "comment": f"{name}: {changes[name]}"}


def _verb(name, state, reload, forced):
    """What systemctl has to do (str), "" if nothing."""
    if state["active"] not in ("active", "reloading"):
        return "start"
    stale = forced or insync_watched.newer(insync_watched.files(__low__, __lowstate__), name, reload)
    return ("reload" if reload else "restart") if stale else ""


def _check(name, verb):
    if verb in ("start", "restart"):
        time.sleep(_SETTLED_SECONDS)
        if insync_systemd.state(name)["active"] != "active":
            raise insync_systemd.UnitError(f"systemctl {verb} {name}: it ended at once")


def _why(name, exc):
    if "is masked" in str(exc):
        return f"{name} is masked: 'systemctl unmask {name}' if it is to run again"
    said = insync_systemd.last_words(name, lines=5).replace("\n", "; ")
    return f"{exc}; it said: {said}; see 'journalctl -u {name}'"
