"""Whenever a run ends, the former packages are current, or all of the new; and the next run completes."""

import multiprocessing
import os
import resource
import signal

import insync_manifest
import insync_repos
import insync_root
import insync_tool
import pytest

MOST = 200
FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["apt", "yum"])
def one_unit(request, tmp_path, repository_of):
    """A repository of one unit with 1.0 in it: a run has fewer steps, and all of their kinds."""
    repository = repository_of(request.param, tmp_path)
    group = {"apt": ("suites", {"ubuntu": ["noble"]}), "yum": ("releases", {"fedora": ["41"]})}[request.param]
    repository.declared[request.param][group[0]] = group[1]
    repository.root = insync_repos.Root(tmp_path / "repos", request.param, repository.declared)
    repository.add("1.0")
    return repository


def test_a_run_that_is_killed_at_any_step(one_unit, monkeypatch):
    # It takes a second, and leaves nothing that stays.
    monkeypatch.setitem(insync_repos.CHECKS, "yum", lambda *words: None)
    folder, (unit,) = one_unit.build("1.1"), one_unit.root.units
    before, ends = one_unit.visible(), 0
    for step in range(MOST):
        process = FORK.Process(target=_add_until, args=(one_unit, folder, step))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        ends += 1
        if one_unit.visible() != before:
            # The one rename was done: all of it is there, at once.
            assert one_unit.versions(unit) == ["1.0", "1.1"]
            _all_there(one_unit)
    assert ends > 20
    assert one_unit.versions(unit) == ["1.0", "1.1"]
    assert [manifest.serial for manifest in one_unit.visible()[unit]] == [1, 2]
    _all_there(one_unit)
    insync_repos.collect(one_unit.root, test=False)
    _all_there(one_unit)
    assert not list(one_unit.root.folder.glob("staging*"))


def _add_until(repository, folder, step):
    """Add a version; the process ends, without a word, before or after the step of this number."""
    count = iter(range(10 * MOST))

    def one():
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def cut(function, after=False):
        def call(*args, **kwargs):
            one()
            done = function(*args, **kwargs)
            if after:
                one()
            return done

        return call

    insync_tool.attempt = cut(insync_tool.attempt)
    insync_root.os.replace = cut(os.replace, after=True)
    insync_root.Stage.put = cut(insync_root.Stage.put)
    repository.add("1.1", folder)


def _all_there(repository):
    for manifest in insync_repos.current(repository.root).values():
        for entry in manifest.keys().values():
            repository.root.read(entry)


def test_a_disk_that_is_full(one_unit):
    folder, before = one_unit.build("1.1"), one_unit.visible()
    for size in (0, 100, 400, 600, 1000):
        told = FORK.SimpleQueue()
        process = FORK.Process(target=_add_with_little_space, args=(one_unit, folder, size, told))
        process.start()
        process.join()
        said = told.get()
        assert said and "\n" not in said, size
        assert one_unit.visible() == before
    assert one_unit.add("1.1", folder)["units"]
    _all_there(one_unit)


def _add_with_little_space(repository, folder, size, told):
    """No file may be larger; a write beyond it fails, as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        repository.add("1.1", folder)
        told.put("")
    except (insync_manifest.RepositoryError, OSError) as exc:
        told.put(str(exc))


def test_what_a_killed_run_left_is_not_in_the_way(one_unit):
    left = one_unit.root.folder / "staging" / "build" / ".repodata"
    left.mkdir(parents=True)
    (left / "lock").write_text("")
    (one_unit.root.folder / "current.json.new").write_text("{")
    one_unit.root.manifest(one_unit.root.units[0], 2).write_text("{")
    assert one_unit.add("1.1")["units"]
    assert not left.exists()
