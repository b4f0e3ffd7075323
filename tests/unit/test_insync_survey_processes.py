"""What somebody started by hand, and left, is told; what a unit, a login or a package looks after is not."""

import contextlib
import re
import shutil
import subprocess

import insync_survey_lines
import insync_survey_processes
import insync_survey_records
import insync_survey_sockets
import insync_survey_system
import pytest

PYTHON = shutil.which("python3")
WORKER = "import os, sys\nprint(os.getpid(), flush=True)\nsys.stdin.read()\n"
KEEPER = "import subprocess, sys\nsubprocess.run(sys.argv[1:])\n"


@contextlib.contextmanager
def worker(folder, monkeypatch, script=WORKER):
    """The id of a process that nobody waits for: its parent stands for systemd, and has no other children."""
    (folder / "worker.py").write_text(script)
    command = [PYTHON, "worker.py", "--key=S3CRET", "S3CRET"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([PYTHON, "-c", KEEPER, *command], cwd=folder, **pipes) as keeper:
        monkeypatch.setattr(insync_survey_processes, "_SYSTEMD", keeper.pid)
        monkeypatch.setattr(insync_survey_processes, "_MOMENT", 0)
        try:
            yield int(keeper.stdout.readline())
        finally:
            keeper.stdin.close()
            keeper.wait(10)


def told(system=None):
    rows = insync_survey_processes.processes(system or insync_survey_system.System())
    return [insync_survey_lines.line("processes", row) for row in rows if not row["by"]]


def of_unit(monkeypatch, unit):
    monkeypatch.setattr(insync_survey_sockets, "unit_of", lambda _: unit)


@pytest.mark.parametrize(
    "unit",
    [
        "",
        "session-3.scope",
        "run-r0a1b.scope",
        "cron.service",
        "ssh.service",
        "ssh@3-10.0.0.1:22.service",
        "sshd.service",
    ],
)
def test_a_worker_that_was_left_is_told(tmp_path, monkeypatch, unit):
    of_unit(monkeypatch, unit)
    with worker(tmp_path, monkeypatch):
        (line,) = told()
        (row,) = insync_survey_processes.processes(insync_survey_system.System())
    where = f"unit {unit}" if unit else "of no unit"
    said = rf"process \S*python\S* {tmp_path}/worker.py --key=... ... \({where}, of no package, user root\)"
    assert re.fullmatch(said + r", since \d{4}-\d\d-\d\d \d\d:\d\d", line)
    assert insync_survey_records._of_row("processes", row) == [line.partition(", since")[0]]


@pytest.mark.parametrize("unit", ["own.service", "nginx.service", "salt-minion.service", "init.scope"])
def test_what_runs_in_a_service_is_the_services(tmp_path, monkeypatch, unit):
    of_unit(monkeypatch, unit)
    if unit == "init.scope":
        monkeypatch.setattr(insync_survey_system.System, "owner", lambda *_: "systemd")
    with worker(tmp_path, monkeypatch):
        assert told() == []


def test_the_program_of_what_starts_others_is_its_own(tmp_path, monkeypatch):
    of_unit(monkeypatch, "ssh.service")
    for package, source, lines in (
        ("openssh-server", "openssh", 0),
        ("openssh-sftp-server", "openssh", 0),
        ("python3.11-minimal", "", 1),
    ):
        monkeypatch.setattr(insync_survey_system.System, "owner", lambda *_, one=package: one)
        sources = {"openssh-server": "openssh", package: source or package}
        monkeypatch.setattr(insync_survey_system.System, "source", lambda _, one, names=sources: names.get(one, one))
        with worker(tmp_path, monkeypatch):
            assert len(told()) == lines, package


def test_who_is_logged_in_is_nothing_to_tell(tmp_path, monkeypatch):
    of_unit(monkeypatch, "session-c3.scope")
    asked = []
    with worker(tmp_path, monkeypatch) as pid:
        monkeypatch.setattr(insync_survey_system.System, "run", lambda _, *words: asked.append(words) or f"{pid}\n")
        assert told() == [] and asked[0][:3] == ("loginctl", "show-session", "c3")
        # Somebody waits for it: a shell, say.
        monkeypatch.setattr(insync_survey_system.System, "run", lambda *_: "")
        monkeypatch.setattr(insync_survey_processes, "_SYSTEMD", pid)
        assert told() == []


def test_an_agent_and_what_begins_or_ends_is_passed_over(tmp_path, monkeypatch):
    of_unit(monkeypatch, "session-3.scope")
    with worker(tmp_path, monkeypatch):
        monkeypatch.setattr(insync_survey_processes, "_MOMENT", 1000)
        assert told() == []
        monkeypatch.setattr(insync_survey_processes, "_MOMENT", 0)
        monkeypatch.setattr(insync_survey_system.System, "owner", lambda *_: "gpg-agent")
        assert told() == []


def test_what_it_has_started_is_told_once(tmp_path, monkeypatch):
    of_unit(monkeypatch, "")
    script = "import subprocess, sys\nrun = lambda: subprocess.Popen(['sleep', '60'])\nones = [run(), run()]\n"
    script += f"{WORKER}[one.kill() for one in ones]\n"
    with worker(tmp_path, monkeypatch, script=script):
        lines = told()
    assert len(lines) == 2 and "/worker.py" in lines[0] and "sleep ..." in lines[1]


def test_what_waits_for_somebody_is_told_there(tmp_path, monkeypatch):
    of_unit(monkeypatch, "")
    script = "import socket\none = socket.create_server(('127.0.0.1', 0))\n" + WORKER
    with worker(tmp_path, monkeypatch, script=script):
        system = insync_survey_system.System()
        rows = insync_survey_sockets.listeners(system)
        assert [row["script"] for row in rows if str(tmp_path) in row["script"]] == [f"{tmp_path}/worker.py"]
        assert told(system) == []


def test_what_is_known_is_not_asked_about(tmp_path, monkeypatch):
    of_unit(monkeypatch, "")
    with worker(tmp_path, monkeypatch):
        assert told(insync_survey_system.System(plan={"known": {f"{tmp_path}/*": "the provider's"}})) == []


def test_a_copy_of_a_server_runs_nothing(root):
    assert root.survey()["found"]["processes"] == []
