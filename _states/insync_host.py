"""The name of a server."""

import pathlib
import socket

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_host"

_FILE = pathlib.Path("/etc/hostname")


def __virtual__():
    return __virtualname__


def named(name):
    """
    Make ``name`` this server's host name, now and at the next boot.

    name (str): the short host name.

    .. code-block:: yaml

        host-name:
          insync_host.named:
            - name: web02
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"the server is named {name}"}
    old = {"kernel": socket.gethostname(), "file": _read()}
    changes = {key: {"old": value, "new": name} for key, value in old.items() if value != name}
    if not changes:
        return ret
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"the server would be named {name}"}
    try:
        _set(name, changes)
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes}


def _read():
    return _FILE.read_text(encoding="utf-8").strip() if _FILE.exists() else None


def _set(name, changes):
    try:
        if "file" in changes:
            _FILE.write_text(f"{name}\n", encoding="utf-8")
        if "kernel" in changes:
            socket.sethostname(name)
    except OSError as exc:
        raise CommandExecutionError(f"cannot name the server {name}: {exc}") from exc
