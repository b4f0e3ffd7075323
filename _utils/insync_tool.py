"""Run a program that others wrote: nothing of our environment gets in, and what it complains of is one line."""

import os
import re
import subprocess

import insync_manifest

SECONDS = 300


def run(command, told="", stdin=b"", seconds=SECONDS, directory="/", **environment):
    """
    Run ``command`` (list of str or path) and return its standard output (bytes).

    told (str): what the error begins with; the program's name if empty. stdin (bytes): what it reads.
    seconds (float): how long it may take. directory (path): where it runs.
    environment: what it finds in its own, besides PATH.
    Raises insync_manifest.RepositoryError if it fails, is not there or does not end.
    """
    done = attempt(command, stdin, seconds, directory, **environment)
    if done.returncode:
        said = line(done.stderr or done.stdout) or f"exit code {done.returncode}"
        raise insync_manifest.RepositoryError(f"{told or os.path.basename(command[0])}: {said}")
    return done.stdout


def attempt(command, stdin=b"", seconds=SECONDS, directory="/", **environment):
    """Like ``run``, but return a subprocess.CompletedProcess, also if the program fails."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C", **environment}
    options = {"env": env, "input": stdin, "capture_output": True, "check": False, "timeout": seconds, "cwd": directory}
    try:
        return subprocess.run([str(word) for word in command], **options)
    except subprocess.TimeoutExpired as exc:
        raise insync_manifest.RepositoryError(f"{command[0]}: no end after {seconds} s") from exc
    except OSError as exc:
        remedy = "the highstate of this server installs it"
        raise insync_manifest.RepositoryError(f"{command[0]}: {exc.strerror}; {remedy}") from exc


def line(output, most=300):
    """Return what a program printed (bytes) as one line (str) of at most ``most`` characters."""
    lines = re.sub(r"^(gpgv?|dpkg-deb|error|E|Error): ", "", output.decode(errors="replace"), flags=re.MULTILINE)
    return " ".join(lines.split())[:most]
