"""Reading the site folder, and what is said when it is not as it should be."""

import insync_site
import pytest


@pytest.fixture
def roots(tmp_path):
    for name in ("pillar", "site"):
        (tmp_path / name).mkdir()
    return [str(tmp_path / "pillar"), str(tmp_path / "site")]


def test_the_first_root_that_has_the_file_wins(roots, tmp_path):
    (tmp_path / "site" / "a.yaml").write_text("from: site")
    assert insync_site.read(roots, "a.yaml") == {"from": "site"}
    (tmp_path / "pillar" / "a.yaml").write_text("from: pillar")
    assert insync_site.read(roots, "a.yaml") == {"from": "pillar"}


@pytest.mark.parametrize(
    "text, message",
    [
        (None, r"a\.yaml: no such file in the site folder \(.*/site\); see docs/bootstrap\.md"),
        ("a: [", r"site/a\.yaml: not YAML: "),
        ("- a", r"site/a\.yaml: expected a mapping"),
        ("", r"site/a\.yaml: expected a mapping"),
    ],
)
def test_what_cannot_be_read_is_one_line(roots, tmp_path, text, message):
    if text is not None:
        (tmp_path / "site" / "a.yaml").write_text(text)
    with pytest.raises(insync_site.SiteError, match=message) as caught:
        insync_site.read(roots, "a.yaml")
    assert "\n" not in str(caught.value)
