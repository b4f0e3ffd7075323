"""Salt's streamed answers, and what is made of them."""

import json

import pytest

from lab import converge
from lab.converge import Result, Stream


def state(name, result=True, changes=None, comment="fine", duration=100.0):
    return {"__id__": name, "result": result, "changes": changes or {}, "comment": comment, "duration": duration}


ANSWERS = [{"web02": {"a": state("a")}}, {"db": "Minion did not return. [No response]"}, {"ct1": {"b": {}}}]
TEXT = "".join(json.dumps(answer, indent=4) + "\n" for answer in ANSWERS)


@pytest.mark.parametrize("size", [1, 7, 64, 10000])
def test_objects_come_out_as_they_are_complete(size):
    stream, found = Stream(), []
    for start in range(0, len(TEXT), size):
        found += stream.feed(TEXT[start : start + size])
    assert found == ANSWERS


def test_text_between_objects_is_left_out():
    stream = Stream()
    assert stream.feed('a warning\n{"a": 1}\nanother one\n{"b"') == [{"a": 1}]
    assert stream.feed(": 2}") == [{"b": 2}]


def test_states_are_counted_and_failures_named():
    answer = {
        "x": state("firewall-rules", changes={"diff": "..."}),
        "y": state("sshd-config", result=False, comment="sshd -t\n  says no", duration=250),
        "z": state("journal-config", result=None),
    }
    assert converge.result_of(answer) == Result(3, 1, (("sshd-config", "sshd -t says no"),), 0.45)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("Minion did not return. [No response]", "Minion did not return. [No response]"),
        (["Rendering SLS 'base:a' failed:", "no 'x'"], "Rendering SLS 'base:a' failed:; no 'x'"),
        (False, "False"),
        ({"retcode": 1}, "{'retcode': 1}"),
        ([], "did not return"),
    ],
)
def test_what_is_no_states_is_a_problem(answer, problem):
    assert converge.result_of(answer) == Result(problem=problem)


def test_no_states_at_all_is_not_a_success():
    assert converge.result_of({}).problem


@pytest.mark.parametrize("alive", [True, False])
def test_who_was_silent_and_answers_is_waited_for_once_more(monkeypatch, alive):
    silent, done = {"web02": "Minion did not return. [No response]"}, {"web02": {"x": state("a")}}
    answers = [[*{"db": done["web02"]}.items(), *silent.items()], done.items()]
    asked = []

    def call(servers, *command):
        asked.append(servers)
        return iter(answers.pop(0))

    monkeypatch.setattr(converge, "call", call)
    monkeypatch.setattr(converge, "_answering", lambda servers: servers if alive else [])
    found = converge.highstate(["db", "web02"], Quiet())
    assert asked == [["db", "web02"], ["web02"]][: 1 + alive]
    assert found["db"].states == 1 and found["web02"].problem == ("" if alive else silent["web02"])


class Quiet:
    """Nobody looks."""

    waiting = set()

    def say(self, line):
        """Say nothing."""
