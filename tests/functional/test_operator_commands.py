"""What TAB offers: in a real bash, and no verb is missing."""

import ast
import pathlib
import subprocess

import jinja2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPONENT = ROOT / "salt" / "operator_commands"
PILLAR = {"host": {"name": "ct1"}, "peers": {"web02": {}, "web-lb02": {}, "db": {}}}
# Called by the reactor, and by nobody else.
INTERNAL = {"release_requested"}


@pytest.fixture(scope="module")
def lists():
    source = jinja2.Template((COMPONENT / "map.jinja").read_text(encoding="utf-8"))
    return source.make_module({"pillar": PILLAR})


@pytest.fixture(scope="module")
def offered(lists, tmp_path_factory):
    """``offered("salt web")`` is what TAB offers after these words."""
    context = {name: getattr(lists, name) for name in ("hosts", "verbs", "runners", "commands")}
    template = jinja2.Template((COMPONENT / "files" / "completion").read_text(encoding="utf-8"))
    file = tmp_path_factory.mktemp("bash") / "insync"
    file.write_text(template.render(context), encoding="utf-8")

    def _offered(line):
        # A word that ends the line with a space has not been begun yet.
        script = (
            'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _insync; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", str(file), *line.split(" ")],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    return _offered


def functions(pattern):
    """The verbs in the files of ``pattern`` that are called ``insync``."""
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob(pattern)]
    trees = [ast.parse(text) for text in texts if '__virtualname__ = "insync"' in text]
    found = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name for name in found if not name.startswith("_")} - INTERNAL


def test_all_verbs_are_offered_and_no_other(lists):
    assert set(lists.verbs) == functions("_modules/insync*.py")
    assert set(lists.runners) == functions("_runners/insync*.py")
    assert {name.removesuffix(".sh") for name in lists.commands} <= set(lists.verbs)


@pytest.mark.parametrize(
    "line, words",
    [
        ("salt web", ["web-lb02", "web02"]),
        ("salt web02 insync.restart_w", ["insync.restart_web"]),
        ("salt-run insync.undr", ["insync.undrain"]),
        ("salt-run insync.undrain web0", ["web02"]),
        ("/usr/local/bin/salt d", ["db"]),
        ("update_in_web insync-web==1.0.0 t", ["test=True"]),
        ("salt-run insync.restart_web t", ["test=True"]),
        ("salt-run insync.restart_web test = ", []),
        ("salt nobody", []),
    ],
)
def test_tab_offers_servers_and_verbs(offered, line, words):
    assert offered(line) == words
