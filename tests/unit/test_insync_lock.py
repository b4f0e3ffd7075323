"""The lock of what runs once at a time, between real processes."""

import multiprocessing
import re

import insync_lock
import pytest


def test_the_second_is_refused_and_told_who_holds_it(tmp_path):
    lock = tmp_path / "folder" / "lock"
    with insync_lock.held(lock, "insync.restart_web", "sudo_alice"):
        assert _told_to_another(lock).startswith("insync.restart_web is running, by sudo_alice, since 20")
    with insync_lock.held(lock, "insync.rollback_web"):
        assert re.fullmatch(r"insync.rollback_web is running, since \S+, process \d+", _told_to_another(lock))
    assert _told_to_another(lock) == "free"


def test_a_process_that_is_killed_gives_it_back(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_hold_for_good, args=(tmp_path / "lock",))
    process.start()
    while _told_to_another(tmp_path / "lock") == "free":
        pass
    process.kill()
    process.join()
    with insync_lock.held(tmp_path / "lock", "the next"):
        pass


def _told_to_another(lock):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_try, (lock,))


def _try(lock):
    try:
        with insync_lock.held(lock, "another"):
            return "free"
    except insync_lock.Held as exc:
        return str(exc)


def _hold_for_good(lock):
    with insync_lock.held(lock, "a long one"):
        multiprocessing.Event().wait(30)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), insync_lock.held(tmp_path / "file" / "lock", "x"):
        pass
