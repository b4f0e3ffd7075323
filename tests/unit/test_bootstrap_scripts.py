"""Which files are deployed, under which name, and what the scripts refuse."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(params=["a git checkout", "a plain copy"])
def checkout(request, tmp_path):
    """A small checkout, with the scripts of this one."""
    root = tmp_path / "checkout"
    (root / "bootstrap").mkdir(parents=True)
    for name in ("files", "revision"):
        shutil.copy(ROOT / "bootstrap" / name, root / "bootstrap")
    (root / "top.sls").write_text("base: {}\n")
    (root / "link").symlink_to("top.sls")
    if request.param == "a git checkout":
        run("git", "-C", root, "init", "--quiet")
        (root / ".gitignore").write_text("*.pyc\n")
        (root / "ignored.pyc").write_text("")
        run("git", "-C", root, "add", "top.sls")
    return root


def files(root):
    return run(root / "bootstrap" / "files").stdout.splitlines()


def revision(root):
    return run(root / "bootstrap" / "revision").stdout.strip()


def test_what_git_ignores_or_lost_is_not_deployed(checkout):
    listed = [name for name in files(checkout) if name != ".gitignore"]
    assert listed == ["bootstrap/files", "bootstrap/revision", "link", "top.sls"]
    (checkout / "top.sls").unlink()
    (checkout / "link").unlink()
    assert [name for name in files(checkout) if name != ".gitignore"] == ["bootstrap/files", "bootstrap/revision"]


def test_the_revision_follows_the_content_only(checkout):
    first = revision(checkout)
    assert len(first) == 12
    (checkout / "top.sls").touch()
    assert revision(checkout) == first, "another time is no other content"
    (checkout / "top.sls").write_text("base: {} \n")
    changed = revision(checkout)
    assert changed != first
    (checkout / "new.sls").write_text("")
    assert revision(checkout) not in (first, changed)


def test_a_copy_at_another_place_has_the_same_revision(checkout, tmp_path):
    shutil.copytree(checkout, tmp_path / "other", symlinks=True)
    assert revision(tmp_path / "other") == revision(checkout)


@pytest.mark.parametrize(
    "script, arguments, message",
    [
        ("ct1", ["--wheel"], "unknown argument '--wheel'"),
        ("ct1", ["--site"], "--site needs a value"),
        ("ct1", ["--wheelhouse", "/nowhere.tar"], "--wheelhouse: no such file '/nowhere.tar'"),
        ("ct1", ["--wheelhouse", "/etc/hostname", "--site", "/nowhere"], "--site: no such folder '/nowhere'"),
        ("ct1", ["--keys"], "--keys needs a value"),
        (
            "ct1",
            ["--wheelhouse", "/etc/hostname", "--site", "/etc", "--keys", "/nowhere"],
            "--keys: no master's keys are in '/nowhere'",
        ),
        ("minion", ["--fingerprint"], "unknown argument '--fingerprint'"),
    ],
)
def test_wrong_arguments_are_refused(script, arguments, message):
    done = run(ROOT / "bootstrap" / script, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
