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
    """What ct1 answers; the calls in ``broken`` fail, each as often as it is there."""

    def __init__(self, *broken, live=False):
        self.broken, self.calls, self.options, self.live = list(broken), [], {}, live

    def call(self, servers, function, *words, **options):
        call = (function.removeprefix("insync."), *words)
        self.calls.append(call)
        self.options[call] = options
        if call in self.broken:
            self.broken.remove(call)
            raise insync_jobs.JobError(function, {"ct1": "disk full"}, {})
        return {"ct1": {"platforms": {"windows": "there", "mac": "there"}, "live": self.live}}


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
    # A run before this one may have sent it.
    back = [*BACK, ("sync_repos",)] if at else []
    assert jobs.calls == STEPS[: at + 1] + back
    for call in back[:3]:
        assert jobs.options[call] == {"leaving": VERSION}
    step = ["preflight", "apt", "yum", "sync", "verify", "mac", "windows"][at]
    assert str(caught.value).startswith(f"{step}: ct1: disk full")
    assert ("taken back; when" in str(caught.value)) == (at > 0)


@pytest.mark.parametrize("broken", BACK)
@pytest.mark.parametrize("at", range(1, len(STEPS)))
def test_what_cannot_be_taken_back_is_named_and_the_version_is_not_sent(tmp_path, at, broken):
    jobs = Jobs(STEPS[at], broken)
    with pytest.raises(insync_client_release.Failed) as caught:
        release(tmp_path, jobs).run()
    held = broken == ("rollback_repos",)
    assert jobs.calls == STEPS[: at + 1] + BACK + [("sync_repos",)] * (not held)
    assert f"could be taken back: insync.{' '.join(broken)} leaving={VERSION}: ct1: disk full" in str(caught.value)
    assert ("insync.sync_repos: not called" in str(caught.value)) == held


def test_nothing_is_taken_back_of_what_was_released_and_is_live(tmp_path):
    jobs = Jobs(STEPS[4], live=True)
    told = f"^verify: ct1: disk full\n{VERSION} stays: it was released before, and is live$"
    with pytest.raises(insync_client_release.Failed, match=told):
        release(tmp_path, jobs, known=True).run()
    assert jobs.calls == STEPS[:5]


def test_what_was_released_once_and_taken_back_is_taken_back_again(tmp_path):
    jobs = Jobs(STEPS[4])
    with pytest.raises(insync_client_release.Failed, match="taken back; when"):
        release(tmp_path, jobs, known=True).run()
    assert jobs.calls == [*STEPS[:5], *BACK, ("sync_repos",)]


def test_only_runs_that_ended_well_are_releases(tmp_path):
    for end, facts in (("ok", {"version": VERSION}), ("apt: ct1: disk full", {}), ("ok", {"version": "3.9.8.60034"})):
        Journal(tmp_path, "release_client", "alice", ["ct1"]).end(end, **facts)
    found = insync_client_release.completed(tmp_path)
    assert [(entry["version"], entry["by"]) for entry in found] == [(VERSION, "alice"), ("3.9.8.60034", "alice")]
    assert insync_client_release.completed(tmp_path / "none") == []
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"verb": "cut by a full di')
    Journal(tmp_path, "release_client", "bob", ["ct1"]).end("ok", version="3.9.9.60040")
    assert [entry["by"] for entry in insync_client_release.completed(tmp_path)] == ["alice", "alice", "bob"]
