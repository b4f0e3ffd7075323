"""systemd on this server, asked without the detours that Salt's service module takes for every init system."""

import datetime
import pathlib
import subprocess
import time

SECONDS = 120
# Some end a moment after systemd has called their start a success.
SETTLED_SECONDS = 2
# Where an administrator's units are, drop-ins for those of packages, and the links that enable both.
FOLDER = pathlib.Path("/etc/systemd/system")


class UnitError(ValueError):
    """systemd refuses; the message names the unit, and why."""


def systemctl(verb, *arguments, seconds=SECONDS):
    """
    Run ``systemctl <verb> <arguments>``; return what it prints (str).

    seconds (int): after which it is given up.
    Raises UnitError with the last line that it says.
    """
    done = _run("systemctl", verb, *arguments, seconds=seconds)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise UnitError(f"systemctl {verb} {' '.join(arguments)}: {said[0] if said else f'exit {done.returncode}'}")
    return done.stdout


def state(unit):
    """Return a dict of str: ``active`` (active, inactive, failed ...), ``pid`` (0 if it does not run)."""
    shown = systemctl("show", "--property=ActiveState,MainPID", unit)
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    # A timer has no process.
    return {"active": found["ActiveState"], "pid": found.get("MainPID", "0")}


def enabled(unit):
    """Return whether a reboot starts ``unit``, in systemctl's words (str): enabled, disabled, static, masked ..."""
    # Not the unit's property, which is as old as systemd's last reload.
    return _run("systemctl", "is-enabled", unit).stdout.strip()


def at_work(units):
    """Return those of ``units`` (list of str) that run or try to: between two starts that fail one is not active."""
    return [unit for unit in units if state(unit)["active"] not in ("inactive", "failed")]


def expected(units):
    """Return those of ``units`` (list of str) that run or try to, or would after a reboot."""
    busy = at_work(units)
    return [unit for unit in units if unit in busy or enabled(unit) == "enabled"]


def stop(units):
    """Stop those of ``units`` (list of str) that run or try to; raises UnitError."""
    busy = at_work(units)
    if busy:
        systemctl("stop", *busy)


def start(units):
    """Start ``units`` (list of str), and see that they stay; raises UnitError."""
    if not units:
        return
    systemctl("start", *units)
    before = {unit: state(unit) for unit in units}
    time.sleep(SETTLED_SECONDS)
    for unit in units:
        now = state(unit)
        # Another process is one that was started again.
        if now["active"] != "active" or now["pid"] != before[unit]["pid"]:
            raise UnitError(f"{unit} ended at once; it said: {last_words(unit)}")


def not_at_rest(pattern):
    """Return ``{unit: state}`` (dict of str) of the units that ``pattern`` (str) fits and that run, or have failed."""
    states = "active,reloading,activating,deactivating,failed"
    shown = systemctl("list-units", f"--state={states}", "--all", "--plain", "--no-legend", "--full", pattern)
    rows = (line.split() for line in shown.splitlines())
    return {row[0]: row[2] for row in rows if row}


def read_at(unit, reloads=False):
    """
    Return when ``unit`` (str) has read its files last, in seconds since the epoch (float); 0 if it does not run.

    reloads (bool): whether a reload counts that went well; else it is the start.
    Raises UnitError if systemd does not tell.
    """
    properties = "ActiveState,ActiveEnterTimestamp,ExecMainStartTimestamp,ReloadResult,StateChangeTimestamp"
    shown = systemctl("show", "--timestamp=us+utc", f"--property={properties}", unit)
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    # One that failed changes the state too.
    reloaded = reloads and found["ReloadResult"] == "success"
    # A socket or a timer has no process.
    started = found.get("ExecMainStartTimestamp", found.get("ActiveEnterTimestamp"))
    stamp = found["StateChangeTimestamp"] if reloaded else started
    if found["ActiveState"] not in ("active", "reloading") or not stamp:
        return 0.0
    try:
        when = datetime.datetime.strptime(stamp, "%a %Y-%m-%d %H:%M:%S.%f UTC")
    except ValueError as exc:
        raise UnitError(f"{unit}: systemd says {stamp!r}, which is no time") from exc
    return when.replace(tzinfo=datetime.UTC).timestamp()


def later(name, seconds, *command):
    """
    Run ``command`` (str) in ``seconds`` (int), as the transient timer ``name`` (str); a reboot forgets it.

    Raises UnitError if systemd does not take it.
    """
    options = [f"--unit={name}", f"--on-active={seconds}", "--timer-property=AccuracySec=1s", "--quiet", "--collect"]
    done = _run("systemd-run", *options, *command)
    if done.returncode != 0:
        raise UnitError(f"systemd-run {name}: {done.stderr.strip()}")


def last_words(unit, lines=1):
    """Return what the last start of ``unit`` (str) said last, at most ``lines`` (int); else what systemd says of it."""
    invocation = _said("systemctl", "show", "--property=InvocationID", "--value", unit).strip()
    own = [f"_SYSTEMD_INVOCATION_ID={invocation}"]
    for match in ([own] if invocation else []) + [[f"--unit={unit}"]]:
        found = _said("journalctl", "--lines=20", "--output=cat", "--no-pager", *match).splitlines()
        told = [" ".join(line.split())[:300] for line in found if line.strip()]
        if told:
            return "\n".join(told[-lines:])
    return "it said nothing"


def _said(*command):
    try:
        return _run(*command).stdout
    except UnitError:
        return ""


def _run(*command, seconds=SECONDS):
    options = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL, "check": False}
    try:
        return subprocess.run(command, timeout=seconds, **options)
    except subprocess.TimeoutExpired as exc:
        raise UnitError(f"{' '.join(command)}: no end after {seconds} s") from exc
    except OSError as exc:
        raise UnitError(f"{command[0]}: {exc.strerror}") from exc
