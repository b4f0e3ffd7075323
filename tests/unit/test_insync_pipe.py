"""Chains of programs: each has to succeed, and the one that failed is named."""

import insync_pipe
import pytest


def test_a_chain(tmp_path):
    with (tmp_path / "out").open("wb") as target:
        insync_pipe.run([["printf", "b\na\n"], ["sort"], ["tr", "a", "c"]], target=target)
    assert (tmp_path / "out").read_text() == "c\nb\n"


FIRST = ["sh", "-c", "echo some; echo 'Error: no disk' >&2; exit 3"]
LAST = ["sh", "-c", "exec <&-; echo full >&2; exit 1"]
ENDLESS = ["sh", "-c", "yes"]


@pytest.mark.parametrize(
    "commands, message",
    [
        ([FIRST, ["cat"]], "^sh: Error: no disk$"),
        ([["true"], FIRST, ["cat"]], "^sh: Error: no disk$"),
        # Who writes to it ends by a signal, and is not to blame.
        ([ENDLESS, LAST], "^sh: full$"),
        ([["true"], ["nosuchprogram"]], "^nosuchprogram: No such file"),
        ([["sh", "-c", "kill -9 $$"], ["cat"]], "^sh: exit code -9$"),
    ],
)
def test_who_failed_is_named(commands, message):
    with pytest.raises(insync_pipe.PipeError, match=message):
        insync_pipe.run(commands)


def test_one_that_ends_well_has_to_say_so():
    insync_pipe.run([["sh", "-c", "echo 'completed OK!' >&2"], ["cat"]], expected="completed OK!")
    with pytest.raises(insync_pipe.PipeError, match="does not say 'completed OK!' at its end: half"):
        insync_pipe.run([["sh", "-c", "echo half >&2"], ["cat"]], expected="completed OK!")


def test_where_to_report_errors_is_no_error():
    lines = ["age: error: no identity matched", "age: report errors at https://age.example/report"]
    assert insync_pipe.why(lines, 1) == "age: error: no identity matched"
    assert insync_pipe.why([], 4) == "exit code 4"
