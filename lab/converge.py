"""Calls of salt on ct1, with the answers read as each server gives its own."""

import codecs
import dataclasses
import json
import os
import selectors
import subprocess
import time

from lab import podman
from lab.errors import LabError

DEADLINE = 1800
# Who has not returned in so many seconds is asked whether it is still at it.
SILENT = 30
# What Salt says in the place of an answer.
NO_ANSWER = "Minion did not return"


@dataclasses.dataclass(frozen=True)
class Result:
    """What one server's highstate came to. ``problem`` is set instead when there was none."""

    states: int = 0
    changed: int = 0
    failures: tuple = ()
    seconds: float = 0.0
    problem: str = ""


class Stream:
    """Cuts a stream of JSON objects, one for each server that returns, into objects; other text is left out."""

    def __init__(self):
        self._text = ""

    def feed(self, text):
        """Return the list of the objects that ``text`` completes."""
        self._text += text
        found = []
        while (start := self._text.find("{")) >= 0:
            try:
                item, end = json.JSONDecoder().raw_decode(self._text, start)
            except json.JSONDecodeError:
                self._text = self._text[start:]
                break
            found.append(item)
            self._text = self._text[end:]
        return found


def result_of(answer):
    """
    Return the Result of what ``state.highstate`` gave for one server.

    answer (object): a dict of states, or else what Salt says in its place.
    """
    if not isinstance(answer, dict) or not all(isinstance(state, dict) for state in answer.values()):
        said = "; ".join(map(str, answer)) if isinstance(answer, list) else str(answer)
        return Result(problem=" ".join(said.split())[:600] or "did not return")
    if not answer:
        return Result(problem="the highstate had no states")
    states = answer.values()
    failed = [(state.get("__id__", "?"), _comment(state)) for state in states if state.get("result") is False]
    return Result(
        states=len(answer),
        changed=sum(1 for state in states if state.get("changes")),
        failures=tuple(failed),
        seconds=sum(float(state.get("duration") or 0) for state in states) / 1000,
    )


def highstate(servers, progress):
    """
    Apply the highstate on ``servers`` (list of str); return {server: Result} of those that returned.

    One that was too busy to say in time that it is still at it is waited for once more, if it answers by then.
    progress (Progress): told as each server returns.
    """
    results = _highstate(servers, progress)
    silent = [name for name, result in results.items() if result.problem.startswith(NO_ANSWER)]
    again = [name for name in silent if name in _answering(silent)]
    return {**results, **(_highstate(again, progress) if again else {})}


def _highstate(servers, progress):
    results = {}
    for name, answer in call(servers, "state.highstate", f"--timeout={SILENT}"):
        result = results[name] = result_of(answer)
        progress.waiting.discard(name)
        progress.say(f"{name}: {_words(result)} ({len(results)} of {len(servers)})")
    return results


def _answering(servers):
    """Those of ``servers`` (list of str) that answer now; the dead do not keep anybody waiting for long."""
    if not servers:
        return []
    limits = ["timeout=5", "gather_job_timeout=5"]
    command = ["salt-run", "manage.up", f"tgt={','.join(servers)}", "tgt_type=list", *limits, "--out=json"]
    return json.loads(podman.execute("ct1", *command).stdout or "[]")


def call(servers, *command, deadline=DEADLINE):
    """
    Call ``salt -L <servers> <command>`` on ct1; yield (server, answer) as each returns.

    Raises LabError when there is no end after ``deadline`` seconds, or if salt itself failed before any answer.
    """
    argv = ["salt", "-L", ",".join(servers), "--out=json", "--log-level=critical", *command]
    with subprocess.Popen(
        podman.inside("ct1", *argv, environment=podman.QUIET),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            said = yield from _read(process, time.monotonic() + deadline, command[0])
        finally:
            process.kill()
    if said is not None:
        raise LabError(f"ct1: salt {command[0]}: {said}; see 'journalctl -u salt-master' there")


def _read(process, until, name):
    """Yield (server, answer); return what salt complained of if nobody answered at all."""
    stream, decoder, errors, answered = Stream(), codecs.getincrementaldecoder("utf-8")("replace"), b"", False
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > until:
                raise LabError(f"ct1: salt {name}: no end in time; 'make fleet' again goes on from here")
            for key, _ in selector.select(1):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    errors += data
                else:
                    for item in stream.feed(decoder.decode(data)):
                        answered = True
                        yield from item.items()
    process.wait()
    lines = errors.decode(errors="replace").strip().splitlines()
    return None if answered else (lines[-1] if lines else "nobody answered")


def _comment(state):
    return " ".join(str(state.get("comment", "")).split())[:600]


def _words(result):
    if result.problem:
        return result.problem
    return f"{result.states} states, {result.changed} changed, {len(result.failures)} failed"
