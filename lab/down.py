"""Taking the lab away: what carries its label, and nothing else."""

import shutil

from lab import podman, preflight
from lab.paths import CACHE, LABEL, STATE

OURS = ("--filter", f"label={LABEL}=true")


def stop(say):
    """Remove the lab's containers and networks; images and caches stay."""
    if not shutil.which("podman"):
        say("podman is not installed: there are no containers of the lab")
        return
    names = [name for name, entry in podman.containers().items() if entry["ours"]]
    if names:
        podman.remove(*names)
    networks = [name for name, entry in podman.networks().items() if entry["ours"]]
    if networks:
        podman.podman("network", "rm", *networks)
    say(f"removed {len(names)} containers, {len(networks)} networks")


def down(say):
    """Remove all that the lab made on this machine, in whatever state it is."""
    stop(say)
    _prune(say)
    restored = preflight.restore_inotify()
    for directory in (CACHE, STATE):
        shutil.rmtree(directory, ignore_errors=True)
    say(f"removed {CACHE} and {STATE}" + ("; put fs.inotify.max_user_instances back" if restored else ""))
    say("the Debian packages that it installed stay")


def _prune(say):
    if not shutil.which("podman"):
        return
    images = podman.podman("images", "--quiet", "--no-trunc", *OURS).stdout.split()
    # Children first: an image that others are made from cannot go before them.
    for _ in range(len(set(images))):
        left = list(dict.fromkeys(podman.podman("images", "--quiet", "--no-trunc", *OURS).stdout.split()))
        if not left:
            break
        podman.podman("image", "rm", "--ignore", "--force", *left, check=False)
    volumes = podman.podman("volume", "ls", "--quiet", *OURS).stdout.split()
    if volumes:
        podman.podman("volume", "rm", *volumes)
    say(f"removed {len(set(images))} images, {len(volumes)} volumes")
