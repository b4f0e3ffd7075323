"""The machine's own apt sources, in both formats."""

import pytest

from lab import apt
from lab.apt import Source
from lab.errors import LabError

STANZAS = """\
Types: deb
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://vendor.example/node
Suites: nodistro
Components: main

Types: deb-src
URIs: http://mirror.example/sources
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


def test_deb822_stanzas_of_debian_are_taken_and_no_others():
    assert apt.deb822(STANZAS) == {
        Source("http://mirror.example/debian", "bookworm"),
        Source("http://mirror.example/debian", "bookworm-updates"),
        Source("http://mirror.example/security", "bookworm-security"),
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("deb http://mirror.example/debian bookworm main", {Source("http://mirror.example/debian", "bookworm")}),
        (
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main non-free",
            {Source("http://mirror.example/debian", "bookworm")},
        ),
        ("# deb http://mirror.example/debian bookworm main", set()),
        ("deb-src http://mirror.example/debian bookworm main", set()),
        ("deb http://db.example/debian bookworm-pgdg main", set()),
        ("deb http://engine.example/debian bookworm stable", set()),
    ],
)
def test_one_line_entries(line, found):
    assert apt.one_line(line) == found


def test_the_text_of_the_sources_is_read_back_as_the_same():
    found = sorted(apt.deb822(STANZAS))
    assert apt.deb822(apt.text_of(found)) == set(found)


def test_all_files_are_read_and_mirror_lists_followed(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "mirrors").write_text("http://first.example/debian/\nhttp://second.example/debian\n")
    (tmp_path / "sources.list").write_text("deb http://mirror.example/security bookworm-security main\n")
    (tmp_path / "sources.list.d" / "a.sources").write_text(
        f"Types: deb\nURIs: mirror+file:{tmp_path}/mirrors\nSuites: bookworm\nComponents: main\n"
    )
    (tmp_path / "sources.list.d" / "b.list.disabled").write_text("deb http://no.example bookworm main\n")
    assert apt.sources(tmp_path) == [
        Source("http://first.example/debian", "bookworm"),
        Source("http://mirror.example/security", "bookworm-security"),
    ]


def test_a_machine_without_debian_12_is_told_so(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian trixie main\n")
    with pytest.raises(LabError, match="no source of Debian 12"):
        apt.sources(tmp_path)


def test_an_index_that_does_not_answer_is_named():
    with pytest.raises(LabError, match=r"package index http://127.0.0.1:9 unreachable \(.*refused.*\); check"):
        apt.check_reachable(Source("http://127.0.0.1:9", "bookworm"), seconds=2)
