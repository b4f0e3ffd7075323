"""The id of a Salt release."""

import hashlib
import pathlib

import insync_release
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_id_follows_the_requirements(tmp_path):
    (tmp_path / "requirements").mkdir()
    requirements = tmp_path / "requirements" / "salt.txt"
    requirements.write_text("salt==3008.3\n")
    first = insync_release.salt_id(tmp_path)
    assert first == hashlib.sha256(b"salt==3008.3\n").hexdigest()[:12]
    requirements.write_text("salt==3008.4\n")
    assert insync_release.salt_id(tmp_path) != first


def test_this_checkout_pins_a_release():
    assert len(insync_release.salt_id(ROOT)) == 12


def test_a_folder_without_requirements_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"requirements/salt\.txt"):
        insync_release.salt_id(tmp_path)
