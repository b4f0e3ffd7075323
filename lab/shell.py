"""Running commands: argument lists, a time limit, and failures as one line."""

import subprocess

from lab.errors import LabError

SECONDS = 900


def run(argv, *, stdin=None, check=True, timeout=SECONDS, what=None, **options):
    """
    Run ``argv`` and return its CompletedProcess, output as text.

    stdin (str or bytes): what the command reads; bytes make the output bytes.
    what (str): how the failure is named, in place of the command.
    Raises LabError when it fails (unless ``check`` is false), takes too long, or is not installed.
    """
    name = what or " ".join(map(str, argv[:3]))
    text = not isinstance(stdin, bytes)
    streams = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        done = subprocess.run(argv, capture_output=True, text=text, timeout=timeout, check=False, **streams, **options)
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"{name}: no end after {timeout} s; run it again") from exc
    except FileNotFoundError as exc:
        raise LabError(f"{name}: {argv[0]} is not installed; 'lab/setup fleet' installs it") from exc
    if check and done.returncode != 0:
        raise LabError(f"{name}: {reason(done)}")
    return done


def reason(done):
    """Return the line of a failed command's output that tells most: the last one, of standard error if there is any."""
    for stream in (done.stderr, done.stdout):
        text = stream.decode(errors="replace") if isinstance(stream, bytes) else stream
        lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
        if lines:
            return lines[-1][:400]
    return f"exit code {done.returncode}"
