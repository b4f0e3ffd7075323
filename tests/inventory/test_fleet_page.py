"""docs/fleet.md and its picture show the inventory as it is now."""

import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import insync_fleet_page
import insync_inventory
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY, DOCS = ROOT / "pillar" / "inventory", ROOT / "docs"
BOTH = [
    "docs/fleet.md is not what the inventory says now; run `make docs`",
    "docs/fleet.svg is not what the inventory says now; run `make docs`",
]
MATRIX = ["docs/reachability.svg is not what the inventory says now; run `make docs`"]
ALL = [BOTH[0], *MATRIX, BOTH[1]]
WEB = ["docs/web.svg is not what the inventory says now; run `make docs`"]


@pytest.fixture
def checkout(tmp_path):
    """What the page is made of and made into, copied: the inventory, the docs and the program."""
    shutil.copytree(INVENTORY, tmp_path / "pillar" / "inventory")
    (tmp_path / "docs").mkdir()
    for name in ("fleet.md", "fleet.svg", "reachability.svg", "web.svg"):
        shutil.copy(DOCS / name, tmp_path / "docs")
    # With its bytecode: every run below begins a Python of its own.
    shutil.copytree(ROOT / "_utils", tmp_path / "_utils")
    return tmp_path


def stale(checkout):
    return insync_fleet_page.stale(checkout / "pillar" / "inventory", checkout / "docs")


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def run(checkout, command, **environment):
    argv = [sys.executable, checkout / "_utils" / "insync_fleet_page.py", *command.split()]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **environment)


def test_the_page_in_docs_is_fresh():
    assert insync_fleet_page.stale(INVENTORY, DOCS) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("hosts.yaml", "private: 10.132.1.14", "private: 10.132.1.99", BOTH + WEB),
        ("hosts.yaml", "purpose: web backend", "purpose: web frontend", BOTH + WEB),
        ("hosts.yaml", "owner: ops", "owner: nobody", BOTH[:1]),
        ("services.yaml", "port: 4506", "port: 4507", ALL),
        ("services.yaml", "port: 8101", "port: 8103", ALL + WEB),
        ("zones.yaml", "target_source: known}", "target_source: guess}", BOTH[:1]),
        ("hosts.yaml", "# The servers", "# All servers", []),
    ],
)
def test_a_changed_inventory_makes_stale_what_shows_it(checkout, file, old, new, expected):
    edit(checkout / "pillar" / "inventory" / file, old, new)
    assert stale(checkout) == expected
    done = run(checkout, "check")
    assert (done.returncode, done.stderr.splitlines()) == (1 if expected else 0, expected)
    assert run(checkout, "write").returncode == 0
    assert stale(checkout) == []


def test_an_edited_or_missing_page_is_stale(checkout):
    edit(checkout / "docs" / "fleet.md", "web backend", "web frontend")
    assert stale(checkout) == BOTH[:1]
    (checkout / "docs" / "fleet.svg").unlink()
    assert stale(checkout) == BOTH


def test_the_end_of_a_roles_page_is_written_and_the_rest_is_left_alone(checkout):
    page = checkout / "docs" / "roles" / "license.md"
    page.parent.mkdir()
    page.write_text("# license\n\nBy hand.\n", encoding="utf-8")
    assert stale(checkout) == ["docs/roles/license.md is not what the inventory says now; run `make docs`"]
    assert run(checkout, "write").returncode == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# license\n\nBy hand.\n\n## Declared\n\n<!-- Generated")
    assert "| servers | `license01`, `license02`" in text and "`license@blue.service`, private, for `web_lb`" in text
    assert stale(checkout) == []
    edit(page, "By hand.", "By another hand.")
    assert stale(checkout) == []
    edit(page, "license@blue.service", "other.service")
    assert stale(checkout) == ["docs/roles/license.md is not what the inventory says now; run `make docs`"]


ROLES = sorted(path.name for path in (ROOT / "salt" / "role").iterdir())


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_page(role):
    title, *parts = re.split(r"^## ", (DOCS / "roles" / f"{role}.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert title.startswith(f"# {role}\n") and len(title.split()) > 10, "what it is"
    texts = dict(part.split("\n", 1) for part in parts)
    for heading in ("See it work", "Restore it", "Leave it"):
        assert any(one.startswith(heading) and text.strip() for one, text in texts.items()), heading
    assert list(texts)[-1] == "Declared"
    if not (ROOT / "salt" / "role" / role / "absent.sls").exists():
        assert "no `absent`" in texts["Leave it"], "and says why it cannot be left"


def test_there_is_no_page_of_a_role_that_is_none():
    assert sorted(path.stem for path in (DOCS / "roles").glob("*.md")) == ROLES


def test_no_page_is_written_from_a_broken_inventory(checkout):
    edit(checkout / "pillar" / "inventory" / "hosts.yaml", "tier: web", "tier: wep")
    before = (checkout / "docs" / "fleet.md").read_text(encoding="utf-8")
    for command in ("write", "check"):
        done = run(checkout, command)
        assert done.returncode == 1
        assert "'wep' is not one of" in done.stderr
        assert "Traceback" not in done.stderr
    assert (checkout / "docs" / "fleet.md").read_text(encoding="utf-8") == before


def test_without_graphviz_it_says_what_to_install(checkout):
    done = run(checkout, "write", env={"PATH": str(checkout)})
    assert (done.returncode, done.stderr) == (1, "the program dot is missing; install the package graphviz\n")


@pytest.mark.parametrize("command", ["", "draw", "write check"])
def test_another_command_is_refused(checkout, command):
    done = run(checkout, command)
    assert (done.returncode, done.stderr) == (2, "usage: insync_fleet_page.py write|check\n")


def test_the_page_says_how_it_is_made_and_names_everything():
    first, *lines = (DOCS / "fleet.md").read_text(encoding="utf-8").splitlines()
    assert "Generated" in first and "`make docs`" in first
    inventory = insync_inventory.load(INVENTORY)
    named = {found for line in lines for found in re.findall(r"^\| `([^`]+)` \|", line)}
    redirects = {redirect["name"] for redirect in inventory["zones"]["redirects"]}
    assert named == {*inventory["hosts"], *inventory["services"], *redirects}


def test_the_picture_shows_every_server_and_marks_the_candidates():
    picture = xml.etree.ElementTree.parse(DOCS / "fleet.svg")
    texts = [text.text.strip() for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    hosts = insync_inventory.load(INVENTORY)["hosts"]
    assert set(hosts) | {"world"} <= set(texts)
    web = xml.etree.ElementTree.parse(DOCS / "web.svg")
    shown = {text.text.strip() for text in web.iter("{http://www.w3.org/2000/svg}text")}
    assert {"world", "web-lb02", "web02", "license01", "db", "redis", "beanstalkd", "ct1", "dev"} <= shown
    assert {"mail relay", "ACME authority", "public index"} <= shown, "where the way ends"
    assert not {"sendy", "wiki", "ssh 22"} & shown
    marks = [text for text in texts if text.startswith("candidate: ")]
    assert len(marks) == sum(host["lifecycle"] == "candidate" for host in hosts.values())
