"""
Build a wheel from sources and run a project's steps with it, in a unit of its own that knows no secret.

Standard input and output are the socket of who asked: in comes a line of JSON, {"steps": {name: command}}, then a tar
of the sources; out go frames. Of the environment it takes BUILD_UV, the program, and BUILD_INDEX, where packages come
from.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tarfile
import tempfile
import threading

import frames


def main(source=sys.stdin.buffer, answer=sys.stdout.buffer):
    """Take an order in, and answer it."""
    asked = json.loads(source.readline())
    home = pathlib.Path(tempfile.mkdtemp(prefix="build-"))
    with tarfile.open(fileobj=source, mode="r|") as archive:
        archive.extractall(home / "sources")
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    environment = _environment(home)
    for name, command in _commands(home, asked["steps"]):
        frames.tell(answer, "log", f"\n== {name}: {shlex.join(command)}\n")
        status = _run(command, home / "sources", environment, answer)
        if status:
            frames.tell(answer, "end", f"{name} failed: it ended with {status}")
            return
    for wheel in sorted((home / "wheels").glob("*.whl")):
        data = wheel.read_bytes()
        frames.write(answer, "wheel", len(data), name=wheel.name)
        answer.write(data)
    frames.tell(answer, "end", "")


def _end_with(source):
    """Nobody listens any more: so nothing is built any more. A tar may end in more zeros than it takes to know."""
    while os.read(source.fileno(), 65536):
        pass
    os._exit(0)


def _environment(home):
    kept = {key: os.environ[key] for key in ("LANG", "SSL_CERT_FILE") if key in os.environ}
    own = {"HOME": str(home), "TMPDIR": str(home), "VIRTUAL_ENV": f"{home}/venv", "UV_CACHE_DIR": f"{home}/cache"}
    own |= {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_DEFAULT_INDEX": os.environ["BUILD_INDEX"]}
    own |= {"PATH": f"{home}/venv/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "CI": "true"}
    # What is published is what is tested: the installed wheel, not the sources that it came from.
    own |= {"PYTHONSAFEPATH": "1"}
    return {**kept, **own}


def _commands(home, steps):
    """Yield (name, command) of what makes a wheel and installs it, and then of each step."""
    uv = [os.environ["BUILD_UV"], "--quiet", "--color=never"]
    yield "wheel", [*uv, "build", "--wheel", "--python=/usr/bin/python3", f"--out-dir={home}/wheels"]
    yield "virtualenv", [*uv, "venv", "--python=/usr/bin/python3", f"{home}/venv"]
    # Found here and not above: there is none before.
    yield "install", [*uv, "pip", "install", *map(str, sorted((home / "wheels").glob("*.whl")))]
    yield from steps.items()


def _run(command, folder, environment, answer):
    """Run ``command`` and tell what it says; return its status, or the reason that there is none."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        process = subprocess.Popen(command, cwd=folder, env=environment, **options)
    except OSError as exc:
        return exc.strerror
    while said := process.stdout.read1(frames.CHUNK):
        frames.tell(answer, "log", said)
    return process.wait()


if __name__ == "__main__":
    main()
