"""Instances of redis: one goes on with the data of a redis that ran alone, and all may leave, without their data."""

import glob
import os
import pathlib
import shutil

import insync_systemd

__virtualname__ = "insync_redis"

# What redis keeps. Where both are, the first is what it reads: it goes first.
_DATA = ("appendonlydir", "dump.rdb")
_FILES = ("etc/redis/redis-*.conf", "etc/redis/users-*.conf", "etc/systemd/system/redis-server@*.service.d")


def __virtual__():
    return __virtualname__


def adopted(name, source, unit):
    """
    Stop the redis that ran alone, for good, and let the instance whose folder is ``name`` go on with its data.

    name (str): the instance's folder. If data is in it already, that is what counts, and nothing is moved.
    source (str): where the former one kept its data; on the same file system.
    unit (str): its unit.

    .. code-block:: yaml

        redis-adopted:
          insync_redis.adopted:
            - name: /var/lib/redis/main
            - source: /var/lib/redis
            - unit: redis-server
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{unit} does not run"}
    try:
        changes = {unit: "stop, disable"} if _starts(unit) else {}
        if __opts__["test"]:
            changes |= _moves(name, source)
            return {**ret, "changes": changes, "result": None if changes else True}
        if changes:
            insync_systemd.systemctl("disable", "--now", "--quiet", unit)
        # Only now: it may have written a snapshot at its end.
        moves = _moves(name, source)
        for one in moves.get(name, ()):
            os.rename(pathlib.Path(source, one), pathlib.Path(name, one))
    except (insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes | moves}


def absent(name, root="/"):
    """
    Stop every instance, for good, and remove what declares it. What they have stored stays.

    name (str): their units, as a pattern.
    root (str): where the server's files are.

    .. code-block:: yaml

        redis-absent-instances:
          insync_redis.absent:
            - name: redis-server@*.service
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "there is no instance"}
    try:
        units = [one for one in _units(name, root) if _starts(one)]
        files = sorted(file for pattern in _FILES for file in glob.glob(os.path.join(root, pattern)))
        changes = dict.fromkeys(units, "stop, disable") | dict.fromkeys(files, "removed")
        if __opts__["test"] or not changes:
            return {**ret, "changes": changes, "result": None if changes else True}
        for unit in units:
            insync_systemd.systemctl("disable", "--now", "--quiet", unit)
        for file in files:
            shutil.rmtree(file) if os.path.isdir(file) else os.remove(file)
        insync_systemd.systemctl("daemon-reload")
    except (insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": "no instance is left"}


def _units(pattern, root):
    """What runs, and what a reboot would start."""
    shown = insync_systemd.systemctl("list-units", "--all", "--plain", "--no-legend", pattern).splitlines()
    links = glob.glob(os.path.join(root, "etc/systemd/system/*.wants", pattern))
    return sorted({line.split()[0] for line in shown} | {os.path.basename(link) for link in links})


def _starts(unit):
    return (
        insync_systemd.state(unit)["active"] not in ("inactive", "failed") or insync_systemd.enabled(unit) == "enabled"
    )


def _moves(name, source):
    """Return ``{name: what moves there (list of str)}``; {} if nothing does."""
    if _data(name):
        return {}
    return {name: found} if (found := _data(source)) else {}


def _data(folder):
    return [one for one in _DATA if pathlib.Path(folder, one).exists()]
