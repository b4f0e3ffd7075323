"""Podman, as the lab uses it: which runtime, which containers are ours, commands in them."""

import contextlib
import ctypes
import difflib
import functools
import json
import os
import pathlib
import shutil

from lab import shell
from lab.errors import LabError
from lab.paths import LABEL, PREFIX

OLDEST = (4, 3)
# How often podman is asked to remove a container.
ATTEMPTS = 3
# What is said is seen at once, and Python's complaints are not.
QUIET = ("PYTHONUNBUFFERED=1", "PYTHONWARNINGS=ignore")
# Container -> its id and its first process, as podman has told them.
_LIVES = {}
# <sched.h>
CLONE_NEWNET = 0x40000000


def flags_for(cgroup_v2, systemd, crun):
    """
    Return podman's global flags for this machine.

    cgroup_v2 (bool): whether /sys/fs/cgroup is the unified hierarchy; crun refuses any other.
    systemd (bool): whether systemd runs this machine and can manage cgroups.
    crun (bool): whether crun is installed.
    """
    runtime = "crun" if cgroup_v2 and crun else "runc"
    manager = "systemd" if cgroup_v2 and systemd else "cgroupfs"
    return ["--runtime", runtime, "--cgroup-manager", manager]


@functools.cache
def flags():
    """Return podman's global flags for this machine, found out once."""
    cgroup_v2 = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
    systemd = pathlib.Path("/run/systemd/system").is_dir()
    return flags_for(cgroup_v2, systemd, shutil.which("crun") is not None)


def podman(*arguments, **options):
    """Run podman; options and errors as in ``shell.run``."""
    return shell.run(["podman", *flags(), *map(str, arguments)], **{"what": f"podman {arguments[0]}", **options})


def remove(*names):
    """
    Kill and remove containers (str); raises LabError with what podman said if one stays.

    One whose end podman has not noticed yet ("state improper") goes at the next attempt.
    """
    said = ""
    for _ in range(ATTEMPTS):
        # Podman 4.3 removes nothing and is content if one name of several is not there, so only what is left is told.
        left = [name for name in names if name in containers()]
        if not left:
            return
        said = podman("rm", "--force", "--time", "0", "--volumes", *left, check=False).stderr.strip()
    left = [name for name in names if name in containers()]
    if left:
        raise LabError(f"podman does not remove {', '.join(left)}: {said}; 'podman ps --all' shows their state")


def listing(*arguments):
    """Return what a podman command prints as JSON."""
    return json.loads(podman(*arguments, "--format", "json").stdout or "[]") or []


def containers():
    """Return {name: {"ours": bool, "running": bool, "labels": dict, "image": str}} of all containers."""
    found = {}
    for entry in listing("ps", "--all"):
        labels = entry.get("Labels") or {}
        running = entry["State"] == "running"
        found[entry["Names"][0]] = {
            "ours": is_ours(labels),
            "running": running,
            "labels": labels,
            "image": entry["Image"],
        }
    return found


def networks():
    """Return {name: {"ours": bool, "bridge": str, "subnets": [str]}} of podman's networks."""
    return {
        entry["name"]: {
            "ours": is_ours(entry.get("labels")),
            "bridge": entry.get("network_interface", ""),
            "subnets": [subnet["subnet"] for subnet in entry.get("subnets") or []],
        }
        for entry in listing("network", "ls")
    }


def is_ours(labels):
    """Return whether these labels (dict or None) say that the lab made the thing."""
    return (labels or {}).get(LABEL) == "true"


def inside(server, *command, environment=()):
    """
    Return the command line that runs ``command`` as root in the container of ``server``.

    It is the runtime's, which podman itself would call: a fifth of the time, as nothing is noted of each command. Who
    runs it gives it its standard input, and waits until nobody holds its output any more.

    environment (iterable of str): NAME=value, beyond the container's own.
    """
    options = [word for one in environment for word in ("--env", one)]
    return [flags()[1], "exec", *options, _id(PREFIX + server), *command]


def _id(container):
    """The id of ``container`` (str); podman is asked once for each of its lives."""
    known, process = _LIVES.get(container, ("", ""))
    if not known or known not in _cgroups(process):
        said = podman("container", "inspect", "--format", "{{.Id}} {{.State.Pid}}", container, check=False).stdout
        known, process = _LIVES[container] = said.split() or [container, ""]
    return known


def _cgroups(process):
    try:
        return pathlib.Path("/proc", process, "cgroup").read_text(encoding="utf-8")
    except OSError:
        return ""


def execute(server, *command, stdin=None, **options):
    """Run ``command`` as root in the container of ``server``; options and errors as in ``shell.run``."""
    argv = inside(server, *command, environment=QUIET)
    return shell.run(argv, stdin=stdin, **{"what": f"{server}: {command[0]}", **options})


def write(server, path, text, mode="0644"):
    """Write ``text`` to the file ``path`` in the container of ``server``; its folder is made if it is missing."""
    folder = os.path.dirname(path)
    script = '{ [ -d "$1" ] || install -d "$1"; } && cat > "$2.new" && chmod "$3" "$2.new" && mv "$2.new" "$2"'
    execute(server, "sh", "-c", script, "sh", folder, path, mode, stdin=text)


def unpack(server, directory, archive):
    """Put the content of the tar ``archive`` (bytes) in place of ``directory`` on ``server``, with fresh times."""
    script = 'rm -rf "$1" && mkdir -p "$1" && tar -xmf - --no-same-owner -C "$1"'
    execute(server, "sh", "-c", script, "sh", directory, stdin=archive)


def interactive(server, *command):
    """Become a shell command in the container of ``server``; raises LabError if that is not running."""
    state = containers().get(PREFIX + server)
    if not state or not state["running"]:
        near = difflib.get_close_matches(server, [name.removeprefix(PREFIX) for name in containers()], 1)
        hint = f"did you mean {near[0]}?" if near and near[0] != server else "'make fleet' boots the fleet"
        raise LabError(f"no server '{server}' is running; {hint}")
    terminal = ["--interactive", "--tty"] if os.isatty(0) and os.isatty(1) else ["--interactive"]
    os.execvp("podman", ["podman", *flags(), "exec", *terminal, PREFIX + server, *command])


@contextlib.contextmanager
def network(name):
    """
    Be in the network of the container of ``name`` (str) while the block runs; this machine itself has no way there.

    It holds for this thread, for connections that are made meanwhile and the programs that are started.
    """
    pid = podman("inspect", "--format", "{{.State.Pid}}", PREFIX + name).stdout.strip()
    with open("/proc/thread-self/ns/net") as here, open(f"/proc/{pid}/ns/net") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(here)


def _enter(namespace):
    # The standard library has it from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET):
        number = ctypes.get_errno()
        raise LabError(f"{namespace.name}: {os.strerror(number)}")
