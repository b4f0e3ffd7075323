"""Containers that are there, running, and done with their boot."""

import concurrent.futures
import contextlib
import pathlib
import time

from lab import podman, preflight
from lab.errors import LabError
from lab.paths import LABEL, PREFIX
from lab.settings import digest

PARALLEL = 4
SECONDS = 180
# SYS_ADMIN: without it systemd ignores ProtectSystem= and its like in silence, and Debian's haproxy does not start.
CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_NICE,SYS_PTRACE"
# With it, systemd would mount cgroup v2 beside v1 and set an option there that is this machine's.
INIT = ("/sbin/init", "systemd.legacy_systemd_cgroup_controller=1")
CONFIG = f"{LABEL}-config"
# Of cgroup v1 and v2, and what one process has there.
SHARES = {"/sys/fs/cgroup/cpu/libpod_parent/cpu.shares": 1024, "/sys/fs/cgroup/libpod_parent/cpu.weight": 100}


def boot(boxes, images, progress, blank=()):
    """
    Make, or start, the containers of ``boxes`` (list of Box) and wait until each has booted.

    images (dict): kind -> image name.
    blank (list of str): servers that are made anew, from the droplet's image.
    Returns (made, started): the sets of names that are new, and that were only stopped.
    Raises LabError naming the container that does not come up.
    """
    there = podman.containers()
    stale = [box for box in boxes if box.container in there and (_differs(box, there) or box.name in blank)]
    for box in stale:
        podman.remove(box.container)
        there.pop(box.container)
    made = {box.name for box in boxes if box.container not in there}
    started = {box.name for box in boxes if box.name not in made and not there[box.container]["running"]}
    progress.waiting = {box.name for box in boxes}
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        for box, job in [(box, pool.submit(_up, box, images, made, started)) for box in boxes]:
            failed = job.result()
            progress.waiting.discard(box.name)
            if failed:
                progress.say(f"{box.name}: failed units: {failed}; 'make shell HOST={box.name}' and 'systemctl status'")
    share(len(there.keys() | made))
    return made, started


def share(count, shares=SHARES):
    """
    Give ``count`` (int) containers the processors as so many processes would have them.

    They are one group, and without this all of them together get what a single process beside them gets: servers with
    nothing else to do would not answer in time.

    shares (dict): file of the group -> the share of one.
    """
    for path, of_one in shares.items():
        with contextlib.suppress(OSError):
            pathlib.Path(path).write_text(str(count * of_one), encoding="ascii")


def _differs(box, there):
    return there[box.container]["labels"].get(CONFIG) != _config(box)


def _config(box):
    """Stands for all that a container keeps from when it was made, its image aside."""
    return digest(box.digest(), CAPABILITIES, INIT)


def _up(box, images, made, started):
    if box.name in made:
        _make(box, images[box.image])
    elif box.name in started:
        podman.podman("start", box.container)
    return _booted(box.name)


def _make(box, image):
    options = ["--name", box.container, "--hostname", box.name, "--systemd=always", "--no-hosts"]
    options += ["--label", f"{LABEL}=true", "--label", f"{CONFIG}={_config(box)}"]
    options += ["--cap-add", CAPABILITIES, *preflight.ulimits(), "--log-driver=k8s-file", "--log-opt=max-size=1mb"]
    options += ["--dns", box.dns, "--dns-search", "."] if box.dns else []
    for name, address in box.networks:
        options += ["--network", f"{PREFIX}{name}" + (f":ip={address}" if address else "")]
    for outside, inside in box.volumes:
        options += ["--volume", f"{outside}:{inside}"]
    podman.podman("run", "--detach", *options, image, *INIT, what=f"{box.name}: podman run")


def _booted(name):
    """Wait until systemd has booted; return the failed units' names. Commands before that would race it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done = podman.execute(name, "systemctl", "is-system-running", "--wait", check=False)
        said = done.stdout.strip()
        if said == "running":
            return ""
        if said == "degraded":
            failed = podman.execute(name, "systemctl", "--failed", "--plain", "--no-legend").stdout
            return ", ".join(line.split()[0] for line in failed.splitlines())
        time.sleep(0.5)
    raise LabError(f"{name}: does not boot ({said or 'no answer from systemd'}); see 'podman logs {PREFIX}{name}'")
