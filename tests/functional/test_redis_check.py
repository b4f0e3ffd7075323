"""Redis is not started on an append-only file that is damaged; what redis mends by itself is left to it."""

import os
import subprocess

import pytest

from lab.paths import ROOT

CHECK = ROOT / "salt" / "redis" / "files" / "check"
START = "Start checking Multi Part AOF\nAOF analyzed: filename=a.base.rdb, ok_up_to=89, diff=0\nBASE AOF is valid\n"
END = "AOF analyzed: filename=a.incr.aof, size=3687, ok_up_to=3668, ok_up_to_line=703, diff=19\n"
END += "AOF a.incr.aof is not valid. Use the --fix option to try fixing it.\n"


@pytest.fixture
def check(tmp_path):
    """Run the check of a folder where redis-check-aof, which is not installed everywhere, says ``said``."""

    def _check(said, code, there=True):
        (tmp_path / "data" / "appendonlydir").mkdir(parents=True)
        if there:
            (tmp_path / "data" / "appendonlydir" / "appendonly.aof.manifest").touch()
        program = tmp_path / "redis-check-aof"
        (tmp_path / "said").write_text(said)
        program.write_text(f"#!/bin/sh\ncat {tmp_path}/said\nexit {code}\n")
        program.chmod(0o755)
        command, path = ["sh", CHECK, "log", tmp_path / "data"], f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)

    return _check


@pytest.mark.parametrize("there", [True, False])
def test_what_is_whole_or_not_there_yet_is_started_with(check, there):
    done = check(f"{START}All AOF files and manifest are valid\n", 0 if there else 1, there)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("wrong", ["0x             e65: Expected to read 8 bytes, got 2 bytes\n", ""])
def test_half_a_command_at_the_end_is_left_to_redis(check, wrong):
    done = check(START + wrong + END, 1)
    assert (done.returncode, done.stderr) == (0, "") and "is cut off: redis leaves it out" in done.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        "0x             e71: Expected \\r\\n, got: 0000\n",
        "0x             e71: Expected prefix '*', got: 'x'\n",
        "AOF a.incr.aof format error\n",
        "Cannot open file a.base.rdb: No such file or directory\n",
    ],
)
def test_anything_else_is_told_and_not_started_with(check, wrong):
    done = check(START + wrong + END, 1)
    assert done.returncode == 1
    assert wrong.strip() in done.stderr and "ok_up_to=3668" in done.stderr and "diff=0" not in done.stderr
    assert "redis is not started; docs/roles/redis.md tells what to do" in done.stderr
