"""The linters find nothing in this checkout, and each can go red."""

import pathlib
import subprocess
import sys

import pytest

from tests.lint.tree import Tree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, "-W", "ignore", "-m"]
RUFF = [*PYTHON, "ruff", "check", "--no-cache", "--quiet", f"--config={ROOT}/pyproject.toml"]
YAMLLINT = [*PYTHON, "yamllint", "--strict", "--format=parsable", f"--config-file={ROOT}/.yamllint"]
# Long lines are left to the reader: rule 204.
SALT_LINT = [*PYTHON, "saltlint", "--nocolor", "-x", "204"]


def is_shell(tree, name):
    return tree.text(name).startswith("#!/bin/sh")


FILES = {
    "ruff": (RUFF, lambda tree: tree.files("*.py")),
    "yamllint": (YAMLLINT, lambda tree: tree.files("*.yaml", "*.yml", "pillar/role/*.sls")),
    "salt-lint": (SALT_LINT, lambda tree: [*tree.files("salt/*.sls", "top.sls", "pillar/top.sls")]),
    "sh": (["sh", "-n"], lambda tree: [name for name in tree.names if is_shell(tree, name)]),
}
BROKEN = {
    "ruff": ("a.py", "import os\n"),
    "yamllint": ("a.yaml", "a: 1\na: 2\n"),
    "salt-lint": ("a.sls", "{{pillar.x}}\n"),
    "sh": ("a.sh", "if true; then\n"),
}


def lint(name, files):
    """Return what the linter says; ``sh`` takes one file at a time."""
    command = FILES[name][0]
    calls = [[*command, file] for file in files] if name == "sh" else [[*command, *files]]
    done = [subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False) for call in calls]
    return "".join(one.stdout + one.stderr for one in done if one.returncode)


@pytest.mark.parametrize("linter", FILES)
def test_the_linter_finds_nothing(linter):
    files = FILES[linter][1](Tree(ROOT))
    assert files
    assert lint(linter, files) == ""


@pytest.mark.parametrize("linter", BROKEN)
def test_the_linter_can_go_red(linter, tmp_path):
    name, text = BROKEN[linter]
    (tmp_path / name).write_text(text)
    assert name in lint(linter, [str(tmp_path / name)])
