"""A checkout as the house rules see it: its files, its SLS files taken apart line by line, and its functions."""

import ast
import dataclasses
import fnmatch
import functools
import pathlib
import re
import subprocess

import salt

PACKAGES = pathlib.Path(salt.__file__).parents[1]
STATE = re.compile(r"  (\w+)\.(\w+):?( \[\])?$")
ARGUMENT = re.compile(r"    - (\w+): ?(.*)$")
TARGET = re.compile(r"      - (\w+): (.+)$")


@dataclasses.dataclass
class State:
    """A state as an SLS file declares it; ``targets`` are its requisites: kind -> list of (state module, id)."""

    where: str
    id: str
    module: str
    function: str
    arguments: dict
    targets: dict


class Tree:
    """The files of a checkout that git tracks or would track."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        paths = [self.root / name for name in listed] or self.root.rglob("*")
        files = (path for path in paths if path.is_file() and not path.is_symlink())
        self.names = sorted(str(path.relative_to(self.root)) for path in files)

    def files(self, *patterns):
        """Return the names that match one of ``patterns``; ``*`` stands for slashes too."""
        return [name for name in self.names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    def text(self, name):
        """Return the file's text; one that is not text has none."""
        return (self.root / name).read_text(encoding="utf-8", errors="ignore")

    def lines(self, *patterns):
        """Return ``(where, line)`` of every line of the files that match; where is ``name:number``."""
        numbered = ((name, enumerate(self.text(name).splitlines(), 1)) for name in self.files(*patterns))
        return [(f"{name}:{number}", line) for name, lines in numbered for number, line in lines]

    def states(self):
        """Return every State that an SLS file below salt/ declares."""
        return [state for name in self.files("salt/*.sls") for state in _states(name, self.text(name))]

    def components(self):
        """Return the names of the folders that hold states."""
        return sorted({name.split("/")[1] for name in self.files("salt/*/*")} - {"role", "orch", "reactor"})

    def functions(self, *patterns):
        """Return ``(where, function node)`` of the public functions and methods in the files that match."""
        found = []
        for name in self.files(*patterns):
            body = ast.parse(self.text(name)).body
            classes = [node for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
            nodes = [*body, *(node for parent in classes for node in parent.body)]
            public = (node for node in nodes if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"))
            found += [(f"{name}:{node.lineno}", node) for node in public]
        return found

    def state_functions(self, module):
        """Return ``{name: function node}`` of a state module, ours or Salt's; empty if there is none."""
        own = self.root / "_states" / f"{module}.py"
        # Salt's own may not be called salt: its file is saltmod.py.
        salts = [PACKAGES / "salt/states" / name for name in (own.name, f"{module}mod.py")]
        for path in [own, *salts, *PACKAGES.glob(f"saltext/*/states/{own.name}")]:
            if path.exists():
                return _functions(path)
        return {}


@functools.cache
def _functions(path):
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    # Salt writes an underscore behind names that Python knows, such as file.copy_.
    return {node.name.rstrip("_"): node for node in nodes if isinstance(node, ast.FunctionDef)}


def without_comments(text):
    """Return Jinja ``text`` with its comments emptied; lines keep their numbers."""
    return re.sub(r"\{#.*?#\}", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)


def _states(name, text):
    states, last, kind = [], "", ""
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        if re.match(r"\S.*:$", line) and not line.startswith("{%"):
            last = line[:-1]
        elif match := STATE.match(line):
            states.append(State(f"{name}:{number}", last, match[1], match[2], {}, {}))
        elif (match := ARGUMENT.match(line)) and states:
            kind = match[1]
            states[-1].arguments[kind] = match[2]
        elif (match := TARGET.match(line)) and states:
            states[-1].targets.setdefault(kind, []).append((match[1], match[2]))
    return states
