"""
Usage: submit.py SOCKET SOURCES WHEELS STEPS

Let the folder SOURCES be built by who listens at SOCKET, with STEPS, {name: command} in JSON; show what that says, and
put the wheels that come of it into the folder WHEELS. Ends with 1 if it does not succeed.
"""

import json
import pathlib
import re
import shutil
import socket
import sys
import tarfile

import frames

# As a wheel's name has to be: without a slash, above all.
WHEEL = re.compile(r"[A-Za-z0-9_.+!]+-[A-Za-z0-9_.+!-]+\.whl")


def submit(path, sources, wheels, steps, log):
    """
    Return the reason (str) that the build failed for, "" if it did not.

    path (str): the socket.
    sources, wheels (pathlib.Path): the folders.
    steps (dict): name -> command.
    log (binary file): takes what the build says.
    """
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps({"steps": steps}).encode() + b"\n")
            with tarfile.open(fileobj=stream, mode="w|") as archive:
                archive.add(sources, arcname=".", filter=_without_history)
            stream.flush()
            return _answer(stream, wheels, log)


def _without_history(entry):
    return None if entry.name == "./.hg" else entry


def _answer(stream, wheels, log):
    while True:
        facts = frames.read(stream)
        pieces = frames.body(stream, facts["size"])
        if facts["kind"] == "end":
            return b"".join(pieces).decode(errors="replace")
        if facts["kind"] == "log":
            for piece in pieces:
                log.write(piece)
            log.flush()
        elif WHEEL.fullmatch(str(facts.get("name"))):
            with (wheels / facts["name"]).open("wb") as file:
                file.writelines(pieces)
        else:
            raise frames.Broken(f"{facts.get('name')!r} is no name of a wheel")


if __name__ == "__main__":
    where, *folders, order = sys.argv[1:]
    try:
        reason = submit(where, *map(pathlib.Path, folders), json.loads(order), sys.stdout.buffer)
    except (OSError, frames.Broken) as exc:
        reason = f"not built: {exc}"
    print(f"\n{reason or 'built'}")
    sys.exit(1 if reason else 0)
