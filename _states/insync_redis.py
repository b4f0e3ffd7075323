"""Instances of redis: one goes on with the data of a redis that ran alone, and any may leave, without its data."""

import glob
import os
import pathlib
import shutil

import insync_systemd

__virtualname__ = "insync_redis"

# What redis keeps. Where both are, the first is what it reads: it goes first.
_DATA = ("appendonlydir", "dump.rdb")
# What declares an instance. The last one is also what tells that our states have made it, and so goes last.
_FILES = ("etc/redis/redis-{}.conf", "etc/redis/users-{}.conf", "etc/systemd/system/redis-server@{}.service.d")


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
        files = _files("*", root)
        changes = dict.fromkeys(units, "stop, disable") | dict.fromkeys(files, "removed")
        if __opts__["test"] or not changes:
            return {**ret, "changes": changes, "result": None if changes else True}
        _remove(units, files)
    except (insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": "no instance is left"}


def declared(name, instances, data, root="/"):
    """
    Stop, for good, the instances that our states have made and that are declared no more, and remove what declared
    them. What they have stored stays, and is told. One that was made by hand is left alone.

    name (str): the units, as a pattern.
    instances (list of str): those that are declared.
    data (str): the folder with that of each.
    root (str): where the server's files are.

    .. code-block:: yaml

        redis-declared:
          insync_redis.declared:
            - name: redis-server@*.service
            - instances: [main, cache]
            - data: /var/lib/redis
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "there is no other instance"}
    try:
        former = sorted(_made(root) - set(instances))
        for instance in former:
            unit = name.replace("*", instance)
            units, files = [unit] if _starts(unit) else [], _files(instance, root)
            if not __opts__["test"]:
                _remove(units, files)
            ret["changes"] |= dict.fromkeys(units, "stop, disable") | dict.fromkeys(files, "removed")
    except (insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    if former:
        stays = ", ".join(f"{data}/{instance}" for instance in former)
        ret |= {"result": None if __opts__["test"] else True, "comment": f"declared no more; what stays: {stays}"}
    return ret


def _made(root):
    """The names (set of str) of the instances that our states have made."""
    before, after = os.path.join(root, _FILES[-1]).split("{}")
    found = glob.glob(os.path.join(f"{before}*{after}", "insync.conf"))
    return {os.path.dirname(path).removeprefix(before).removesuffix(after) for path in found}


def _files(instance, root):
    return [file for one in _FILES for file in sorted(glob.glob(os.path.join(root, one.format(instance))))]


def _remove(units, files):
    for unit in units:
        insync_systemd.systemctl("disable", "--now", "--quiet", unit)
    for file in files:
        shutil.rmtree(file) if os.path.isdir(file) else os.remove(file)
    insync_systemd.systemctl("daemon-reload")


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
