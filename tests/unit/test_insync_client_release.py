"""Releases of the desktop client: the order of the steps, and what a failure at each of them leaves."""

import insync_client_release
import insync_jobs
import pytest
from insync_journal import Journal

VERSION = "3.9.7.60031"
STEPS = [
    ("check_client", VERSION),
    ("update_apt_repo", VERSION),
    ("update_yum_repo", VERSION),
    ("sync_repos",),
    ("verify_repos", VERSION),
    ("set_current_version", "mac", VERSION),
    ("set_current_version", "windows", VERSION),
]
BACK = [("rollback_version", "mac"), ("rollback_version", "windows"), ("rollback_repos",)]


class Jobs:
    """What ct1 answers; the calls in ``broken`` fail."""

    def __init__(self, *broken):
        self.broken, self.calls, self.options = broken, [], {}

    def call(self, servers, function, *words, **options):
        call = (function.removeprefix("insync."), *words)
        self.calls.append(call)
        self.options[call] = options
        if call in self.broken:
            raise insync_jobs.JobError(function, {"ct1": "disk full"}, {})
        return {"ct1": {"platforms": {"windows": "there", "mac": "there"}}}


def release(tmp_path, jobs, **options):
    journal = Journal(tmp_path, "release_client", "alice", ["ct1"])
    return insync_client_release.ClientRelease(VERSION, "ct1", jobs, journal, **options)


def test_every_step_is_a_job_and_test_mode_only_looks(tmp_path):
    jobs = Jobs()
    assert list(release(tmp_path, jobs).run()) == ["preflight", "apt", "yum", "sync", "verify", "mac", "windows"]
    assert jobs.calls == STEPS
    jobs = Jobs()
    release(tmp_path, jobs).run(test=True)
    assert jobs.calls == STEPS[:1]


@pytest.mark.parametrize("at", range(len(STEPS)))
def test_it_stops_at_the_first_failure_and_takes_back_what_there_is(tmp_path, at):
    jobs = Jobs(STEPS[at])
    with pytest.raises(insync_client_release.Failed, match="disk full") as caught:
        release(tmp_path, jobs).run()
    # A sync that failed may have sent a part, and one that fails again must be told.
    back = [] if at == 0 else BACK + ([("sync_repos",)] if at >= 3 else [])
    assert jobs.calls == STEPS[: at + 1] + back
    for call in back[:3]:
        assert jobs.options[call] == {"leaving": VERSION}
    step = ["preflight", "apt", "yum", "sync", "verify", "mac", "windows"][at]
    assert str(caught.value).startswith(f"{step}: ct1: disk full")
    assert ("could be taken back: insync.sync_repos: ct1: disk full" in str(caught.value)) == (step == "sync")
    assert ("taken back; when" in str(caught.value)) == (at > 0 and step != "sync")


def test_nothing_is_taken_back_of_what_an_earlier_run_released(tmp_path):
    jobs = Jobs(STEPS[4])
    with pytest.raises(insync_client_release.Failed, match="^verify: ct1: disk full$"):
        release(tmp_path, jobs, completed=True).run()
    assert jobs.calls == STEPS[:5]


def test_only_runs_that_ended_well_are_releases(tmp_path):
    for end, facts in (("ok", {"version": VERSION}), ("apt: ct1: disk full", {}), ("ok", {"version": "3.9.8.60034"})):
        Journal(tmp_path, "release_client", "alice", ["ct1"]).end(end, **facts)
    found = insync_client_release.completed(tmp_path)
    assert [(entry["version"], entry["by"]) for entry in found] == [(VERSION, "alice"), ("3.9.8.60034", "alice")]
    assert insync_client_release.completed(tmp_path / "none") == []
