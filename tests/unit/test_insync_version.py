"""What a version is, and which is the higher."""

import insync_version
import pytest


def test_versions_compare_by_their_numbers():
    texts = ["3.9.7.60031", "3.10", "3.9.10", "3.9.7.9999", "4"]
    found = sorted(map(insync_version.parse, texts))
    assert [str(version) for version in found] == ["3.9.7.9999", "3.9.7.60031", "3.9.10", "3.10", "4"]
    assert insync_version.parse("3.9") == insync_version.parse("3.9") < insync_version.parse("3.9.0")


NONE = ["", " ", "../3", "3.9/7", "3.9.7.60031\n", "3..9", "3.9.", ".3", "1.2.3.4.5", "3.9a", "v3", "3.09", "٣.٩", "-3"]
NONE += ["9" * 10]


@pytest.mark.parametrize("text", NONE)
def test_anything_else_is_no_version_and_is_named(text):
    with pytest.raises(insync_version.VersionError) as caught:
        insync_version.parse(text)
    assert str(caught.value) == f"{text!r}: is no version, which is one to four numbers such as 3.9.7.60031"


@pytest.mark.parametrize("number", [3.1, 3, None, True])
def test_what_yaml_made_of_a_version_is_not_guessed_at(number):
    with pytest.raises(insync_version.VersionError, match=f"{number}: is no version, .*is quoted twice: '\"3.10\"'"):
        insync_version.parse(number)
