"""The lab's commands; the Makefile calls them."""

import argparse
import difflib
import shlex
import sys

from lab import down, lock, podman, preflight
from lab.errors import LabError
from lab.progress import Progress

COMMANDS = ("up", "rebuild", "stop", "down", "shell", "salt")


def main(argv):
    """Run one command; return the exit code."""
    command, rest = (argv[0], argv[1:]) if argv else ("", [])
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        raise LabError(
            f"lab: no command '{command}'; {f'did you mean {near[0]}?' if near else 'one of ' + ', '.join(COMMANDS)}"
        )
    preflight.check_root()
    return globals()[f"_{command}"](rest)


def _up(rest):
    parser = argparse.ArgumentParser(prog="lab up")
    parser.add_argument("--hosts", default="", help="servers to boot, separated by blanks; all if left out")
    options = parser.parse_args(rest)
    # Imported here: the other commands work without the environment that this one needs.
    from lab.up import up

    command = ["up", *rest]
    with lock.held(command):
        return up(options.hosts.split(), Progress(), command)


def _rebuild(rest):
    if len(rest) != 1 or not rest[0]:
        raise LabError("which server? make rebuild HOST=web02")
    from lab.rebuild import rebuild

    with lock.held(["rebuild", *rest]):
        rebuild(rest[0], Progress())
    return 0


def _stop(rest):
    with lock.held(["stop", *rest]):
        down.stop(Progress().show)
    return 0


def _down(rest):
    with lock.held(["down", *rest]):
        down.down(Progress().show)
    return 0


def _shell(rest):
    if not rest or not rest[0]:
        raise LabError("which server? make shell HOST=web02")
    podman.interactive(rest[0], *(rest[1:] or ["bash", "--login"]))


def _salt(rest):
    podman.interactive("ct1", "salt", *(rest or ["--help"]))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as exc:
        print(exc, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted; '{shlex.join(['make', 'fleet'])}' goes on from here", file=sys.stderr)
        sys.exit(130)
