"""What operators may ask for in a release."""

import insync_packages
import pytest

PINS = """insync-core==1.0.0 \\
    --hash=sha256:00
insync-web==1.0.0 \\
    --hash=sha256:00
gunicorn==27.0.1 \\
    --hash=sha256:00
"""


@pytest.mark.parametrize(
    "words, found",
    [
        (["insync-web==2.4.0", "insync-core"], {"insync-web": "2.4.0", "insync-core": ""}),
        (["Insync_Web==2.4"], {"insync-web": "2.4"}),
        ([], {"insync-core": "", "insync-web": "", "gunicorn": ""}),
    ],
)
def test_names_with_and_without_versions(words, found):
    assert insync_packages.parse(words, PINS) == found


@pytest.mark.parametrize(
    "words, message",
    [
        (["insync-wbe"], "insync-wbe: not a package of this release; did you mean 'insync-web'?"),
        (["insync-web", "insync_web==1"], "insync-web: asked for twice"),
        (["insync-web==latest"], "'insync-web==latest': 'latest' is not a version"),
        (["x"] * 51, "51 packages are more than the 50 that are taken at once"),
        *(
            ([word], f"{word!r}: neither a name nor name==version; paths, addresses and options are not taken")
            for word in (
                "",
                "-e .",
                "--index-url=https://evil.test",
                "https://evil.test/insync_web-2.whl",
                "insync-web @ https://evil.test/x.whl",
                "./insync-web",
                "insync-web;rm -rf /",
                "$(id)",
                "insync-web>=2",
                "insync-web[x]",
                "insync-web==1\n--index-url=https://evil.test",
                "insync-web==",
            )
        ),
    ],
)
def test_what_is_no_package_is_named(words, message):
    with pytest.raises(insync_packages.PackageError) as caught:
        insync_packages.parse(words, PINS)
    assert str(caught.value) == message


def test_what_differs_between_two_locks():
    new = PINS.replace("insync-web==1.0.0", "insync-web==1.1.0").replace("gunicorn", "granian")
    assert insync_packages.changes(PINS, new) == {
        "granian": {"old": "", "new": "27.0.1"},
        "gunicorn": {"old": "27.0.1", "new": ""},
        "insync-web": {"old": "1.0.0", "new": "1.1.0"},
    }
    assert insync_packages.changes(PINS, PINS) == {}
