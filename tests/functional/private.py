"""A world of its own for a test that changes what a machine has only once: users, host name, network, packet filter."""

import ctypes
import functools
import os
import subprocess
import sys
import tempfile
import traceback

import pytest

NEW_MOUNTS, NEW_NAME, NEW_NETWORK = 0x00020000, 0x04000000, 0x40000000


def private_world(test):
    """
    Run ``test`` in a child process with its own host name, network, /etc (a copy) and /var/lib (empty).

    All of it is real, and all of it is gone when the child ends; this machine keeps its own.
    """

    @functools.wraps(test)
    def run(*arguments, **named):
        with tempfile.TemporaryFile("w+") as report:
            child = os.fork()
            if child == 0:
                os._exit(_inside(functools.partial(test, *arguments, **named), report))
            _, status = os.waitpid(child, 0)
            report.seek(0)
            if status:
                pytest.fail(report.read() or f"the child ended with {status}", pytrace=False)

    return run


def command(*argv, **options):
    """Run ``argv`` and return its standard output; a failure raises."""
    return subprocess.run(argv, capture_output=True, text=True, check=True, **options).stdout


def read_only(directory):
    """Let nobody change ``directory``, a mount of the private world."""
    command("mount", "-o", "remount,bind,ro", directory)


def _inside(test, report):
    try:
        _enter()
        test()
    except BaseException:
        traceback.print_exc(file=report)
        report.flush()
        return 1
    return 0


def _enter():
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | NEW_NAME | NEW_NETWORK):
        sys.exit(f"no private world: {os.strerror(ctypes.get_errno())}; these tests need root and CAP_SYS_ADMIN")
    command("mount", "--make-rprivate", "/")
    command("mount", "-t", "tmpfs", "none", "/mnt")
    command("cp", "-a", "/etc", "/mnt/etc")
    command("mount", "--bind", "/mnt/etc", "/etc")
    command("mount", "-t", "tmpfs", "none", "/var/lib")
