"""House rules of the Python code and of every file; each returns a line for every place that breaks it."""

import ast
import re

OURS = ("_modules/*.py", "_states/*.py", "_runners/*.py", "_utils/*.py", "_output/*.py")
INDEXES = (
    "deb debian org",
    "security debian org",
    "pypi org",
    "files pythonhosted org",
    "docker io",
    "quay io",
    "ghcr io",
)
SECRET = re.compile(
    r"\$(1|2[aby]|5|6|7|y|gy)\$[./\w$=]{8,}"
    r"|BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"""|\w*(password|passwd|secret|token|api_key)\w*: ['"]?[^\s'"{}]{8,}['"]?$"""
)


def pillar_is_not_masked(tree):
    """From Python pillar.get returns asterisks on Salt 3008; __pillar__ and config.get tell the truth."""
    python = [name for name in tree.files("*.sls") if tree.text(name).startswith("#!py")]
    lines = tree.lines(*OURS, *python)
    return [
        f"{where}: {match[0]}" for where, line in lines if (match := re.search(r"pillar\.(get|items?|raw)\b", line))
    ]


def functions_have_docstrings(tree):
    """Those of modules and runners show how they are called."""
    found = []
    for where, function in tree.functions(*OURS):
        text = ast.get_docstring(function) or ""
        if not text:
            found.append(f"{where}: {function.name} has no docstring")
        elif where.startswith(("_modules/", "_runners/")) and "CLI Example:" not in text:
            found.append(f"{where}: {function.name} has no 'CLI Example:'")
    return found


def no_secret_in_the_clear(tree):
    """What is below salt/ is served to every minion; what is in pillar/ is in every clone."""
    lines = tree.lines("salt/*", "pillar/*", "roots/*", *OURS, "bootstrap/*")
    return [f"{where}: looks like a secret" for where, line in lines if SECRET.search(line)]


def nothing_is_left_to_do(tree):
    """What is not done is an issue, not a comment."""
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    return [f"{where}: {match[0]}" for where, line in tree.lines("*") if (match := words.search(line))]


def no_index_is_named(tree):
    """Packages come from where the machine's own configuration says."""
    hosts = re.compile("|".join(rf"\b{host.replace(' ', '[.]')}\b" for host in INDEXES))
    return [f"{where}: {match[0]}" for where, line in tree.lines("*") if (match := hosts.search(line))]


RULES = [
    pillar_is_not_masked,
    functions_have_docstrings,
    no_secret_in_the_clear,
    nothing_is_left_to_do,
    no_index_is_named,
]
