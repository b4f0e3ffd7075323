"""What must be so on this machine before anything is made; if not, one line says what is wrong and what to do."""

import json
import os
import pathlib
import re
import resource
import shutil

from lab import network, podman
from lab.errors import LabError
from lab.paths import CACHE, INOTIFY, PREFIX

INSTANCES = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
# A system container takes 4 to 7; with Debian's 128 about the 22nd one hangs at boot.
INSTANCES_NEEDED = 1024
TOOLS = ("mmdebstrap", "ip", "git", "gpg", "ssh-keygen")
ULIMITS = {"nofile": (resource.RLIMIT_NOFILE, 20000), "nproc": (resource.RLIMIT_NPROC, 8192)}


def check_root():
    """Raise LabError unless this is root: system containers have networks and cgroups of their own."""
    if os.geteuid() != 0:
        raise LabError("needs root (system containers, networks, cgroups); run it with sudo or as root")


def check_engine():
    """Raise LabError if podman, its runtime or a tool is missing, or podman is too old."""
    for tool in ("podman", podman.flags()[1], *TOOLS):
        if not shutil.which(tool):
            raise LabError(f"{tool} is not installed; 'lab/setup fleet' installs it")
    problem = too_old(podman.podman("--version", what="podman").stdout)
    if problem:
        raise LabError(problem)


def too_old(text, oldest=podman.OLDEST):
    """Return what is wrong with the podman version in ``text``, or ""."""
    found = re.search(r"(\d+)\.(\d+)", text)
    if found and tuple(map(int, found.groups())) >= oldest:
        return ""
    wanted = ".".join(map(str, oldest))
    return f"{text.strip()} is too old, {wanted} is needed; install Debian 12's podman or a later one"


def check_space(gib, paths):
    """Raise LabError naming the first of ``paths`` whose file system has less than ``gib`` GiB free."""
    for path in paths:
        path = pathlib.Path(path)
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free / 2**30
        if free < gib:
            raise LabError(
                f"{path}: {free:.1f} GiB free, {gib} needed; make room there ('make down' removes an older lab)"
            )


def storage():
    """Return the folders that fill up: podman's and the cache."""
    return [podman.podman("info", "--format", "{{.Store.GraphRoot}}").stdout.strip(), CACHE]


def check_names(names):
    """Raise LabError if a container or network that is not the lab's has one of our names."""
    for name, entry in podman.containers().items():
        if name in names and not entry["ours"]:
            raise LabError(
                f"a container {name} is there that the lab did not make; 'podman rename {name} OTHER' or remove it"
            )
    networks = {PREFIX + kind for kind in ("private", "public", network.UPLINK)}
    for name, entry in podman.networks().items():
        if name in networks and not entry["ours"]:
            raise LabError(
                f"a network {name} is there that the lab did not make; 'podman network rm {name}' removes it"
            )


def raise_inotify(say, path=INSTANCES, record=INOTIFY):
    """
    Raise the machine's limit of inotify instances if it is too low, and remember the old one for ``make down``.

    say (callable): told when it is raised.
    """
    before = int(path.read_text(encoding="ascii"))
    if before >= INSTANCES_NEEDED:
        return
    try:
        path.write_text(str(INSTANCES_NEEDED), encoding="ascii")
    except OSError as exc:
        raise LabError(
            f"fs.inotify.max_user_instances is {before}, {INSTANCES_NEEDED} needed, and cannot be set: {exc}"
        ) from exc
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"before": before, "raised": INSTANCES_NEEDED}), encoding="ascii")
    say(f"fs.inotify.max_user_instances raised from {before} to {INSTANCES_NEEDED}; 'make down' puts it back")


def restore_inotify(path=INSTANCES, record=INOTIFY):
    """Put the limit back to what it was, unless somebody else has changed it since; return whether it was."""
    if not record.exists():
        return False
    was = json.loads(record.read_text(encoding="ascii"))
    record.unlink()
    if int(path.read_text(encoding="ascii")) != was["raised"]:
        return False
    path.write_text(str(was["before"]), encoding="ascii")
    return True


def ulimits(hard=None):
    """
    Return podman's --ulimit options: what the containers should have, or this machine's hard limits if those are lower.

    hard (dict): name -> hard limit, -1 for none; read from this process if not given.
    """
    hard = hard or {name: resource.getrlimit(number)[1] for name, (number, _) in ULIMITS.items()}
    options = []
    for name, (_, wanted) in ULIMITS.items():
        value = wanted if hard[name] == resource.RLIM_INFINITY else min(wanted, hard[name])
        options += ["--ulimit", f"{name}={value}:{value}"]
    return options
