"""What ct1 keeps of the release that a pool serves."""

import insync_serving
import pytest


@pytest.fixture
def write(tmp_path):
    (tmp_path / "web").mkdir()
    return lambda release: insync_serving.write("web", "blue", release, f"lock of {release}", records=tmp_path)


def test_the_locks_of_this_and_the_former_release_are_known(write, tmp_path):
    assert insync_serving.read("web", tmp_path) == {}
    assert insync_serving.lock("web", "one", tmp_path) == ""
    for release in ("one", "two", "two", "three", "two"):
        write(release)
    assert insync_serving.read("web", tmp_path)["release"] == "two"
    assert insync_serving.lock("web", "two", tmp_path) == "lock of two"
    assert insync_serving.lock("web", "three", tmp_path) == "lock of three"
    assert insync_serving.lock("web", "one", tmp_path) == "", "two releases are kept, not all"


def test_a_broken_record_is_told_to_who_depends_on_it_and_written_anew_by_who_does_not(write, tmp_path):
    file = tmp_path / "web" / "serving.json"
    file.write_text('{"slot": "blue", "rel')
    with pytest.raises(ValueError):
        insync_serving.read("web", tmp_path)
    assert insync_serving.lock("web", "one", tmp_path) == ""
    write("one")
    assert insync_serving.read("web", tmp_path) == {"slot": "blue", "release": "one", "lock": "lock of one"}
