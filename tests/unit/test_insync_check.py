"""Checking a checkout and its site folder before a server sees them."""

import pathlib
import shutil

import insync_check
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def copies(site, tmp_path):
    """A checkout and a site folder, for this test to break."""
    for name in ("pillar", "salt"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    shutil.copytree(site, tmp_path / "site", ignore=shutil.ignore_patterns("gpgkeys"))
    return tmp_path / "checkout", tmp_path / "site"


def test_all_is_well(copies, capsys):
    assert insync_check.problems(*copies) == []
    assert insync_check.main(*map(str, copies)) == 0
    assert capsys.readouterr().err == ""


def test_all_problems_of_the_site_are_told_at_once(copies, capsys):
    site = copies[1]
    (site / "operators.yaml").unlink()
    (site / "settings.yaml").write_text("- a")
    (site / "secrets" / "base.yaml").write_text("other: x")
    found = insync_check.problems(*copies)
    assert len(found) == 3
    for line, name in zip(found, ("operators.yaml", "secrets/base.yaml", "settings.yaml"), strict=True):
        assert f"{name}: " in line
    assert insync_check.main(*copies) == 1
    assert capsys.readouterr().err.splitlines() == found


def test_a_broken_inventory_is_told_before_the_site(copies):
    checkout, site = copies
    inventory = checkout / "pillar" / "inventory" / "hosts.yaml"
    inventory.write_text(inventory.read_text().replace("web02:", "web02:\n  colour: green", 1))
    (site / "operators.yaml").unlink()
    found = insync_check.problems(checkout, site)
    assert found and all(line.startswith("hosts.yaml: ") for line in found)
    assert "colour" in found[0]


def test_a_lock_that_pins_nothing_and_one_of_nobody_are_told(copies):
    releases = copies[1] / "releases"
    (releases / "web.txt").write_text("")
    (releases / "wep.txt").write_text("insync-web==1 --hash=sha256:00")
    first, second = insync_check.problems(*copies)
    assert first == "releases/web.txt: no requirements with == and hashes; see docs/web.md"
    assert second.startswith("releases/wep.txt: nothing needs it; what is needed: ")
    for lock in releases.iterdir():
        lock.unlink()
    assert insync_check.problems(*copies) == [], "a fleet without an index has no lock yet"


def test_settings_of_a_role_that_nobody_plays_are_told(copies):
    settings = copies[1] / "settings.yaml"
    settings.write_text("web: {apps: {}}\nweb_bl: {acme: {}}\n")
    assert insync_check.problems(*copies) == ["settings.yaml: no server plays 'web_bl'; did you mean 'web_lb'?"]
    settings.write_text("web: [apps]\n")
    assert insync_check.problems(*copies) == ["settings.yaml: web: ['apps'] is not a mapping, as what it replaces is"]


def test_a_missing_certificate_is_told(copies):
    site = copies[1]
    (site / "tls" / "db.crt").unlink()
    found = insync_check.problems(*copies)
    assert found == [f"tls/db.crt: no such file in the site folder ({site}); 'bootstrap/certificates {site}' makes it"]


def test_repositories_that_cannot_be_served_are_told(copies):
    (copies[1] / "hg.yaml").write_text("repositories: {website: {read: ['*'], push: [], keys: {}}}")
    assert insync_check.problems(*copies) == [
        "hg.yaml: website.read: '*' is not a name of a user (a-z, 0-9 and '-')",
    ]
