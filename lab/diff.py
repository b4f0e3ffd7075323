"""`python -m lab.diff REV`: what would change on which server, from another revision to this checkout."""

import difflib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

from lab import shell
from lab.errors import LabError
from lab.paths import ROOT

# Known to this run only.
KEY = os.urandom(16)
# Where a state stands in the list, and how it was included, changes with every neighbour.
NOISE = {"order", "__sls_included_from__", "__env__"}


def diff(revision, root=ROOT):
    """
    Return ``[(change, hosts)]``: every change once, as a list of lines, with the servers that it touches.

    revision (str): the git revision to compare with.
    root (pathlib.Path): the checkout whose working tree is compared.
    Raises LabError if there is no such revision, or if one of the two does not compile.
    """
    with tempfile.TemporaryDirectory(prefix="insync-diff-") as work:
        work = pathlib.Path(work)
        before = _compiled(_tree(revision, root, work / "before"), work, revision)
        after = _compiled(root, work, "this checkout")
    touched = {}
    for host in {**after, **before}:
        for change in _changes(before.get(host), after.get(host)):
            touched.setdefault(change, []).append(host)
    return list(touched.items())


def _tree(revision, root, target):
    """The files of ``revision``; from an archive, which leaves nothing behind in the repository."""
    git = ["git", "-C", str(root)]
    commit = shell.run([*git, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], check=False).stdout.strip()
    if not revision or not commit:
        raise LabError(f"there is no revision '{revision}'; 'git log --oneline' lists them")
    target.mkdir()
    archive = subprocess.run([*git, "archive", commit], capture_output=True, check=True).stdout
    shell.run(["tar", "-x", "-C", str(target)], stdin=archive)
    if not (target / "lab" / "compile.py").exists():
        raise LabError(f"{revision} has no lab/compile.py: it cannot be compiled")
    return target


def _compiled(tree, work, name):
    """Each tree compiles itself, with its own code and its own fake secrets; the operators' keys are shared."""
    command = [sys.executable, "-m", "lab.compile", str(work / f"site-{tree.name}"), str(work / "keys")]
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree}/_utils", "PYTHONWARNINGS": "ignore"}
    done = shell.run(command, cwd=tree, env=environment, check=False)
    if done.returncode != 0:
        raise LabError(f"{name} does not compile: {shell.reason(done)}")
    return json.loads(done.stdout)


def _changes(before, after):
    if before is None or after is None:
        return [("the server is new",) if before is None else ("the server is gone",)]
    secrets = _secrets(before) | _secrets(after)
    old, new = (_hidden({**_values(side["pillar"]), **_states(side["low"])}, secrets) for side in (before, after))
    found = [_change(name, old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)]
    in_both = [[name for name in side if name in old and name in new] for side in (old, new)]
    return found if in_both[0] == in_both[1] else [*found, ("the same states run in another order",)]


def _change(name, old, new):
    if new is None:
        return (f"gone: {name}",)
    lines = list(difflib.unified_diff(old or [], new, n=0, lineterm=""))[2:]
    return (name if old is not None else f"new: {name}", *(f"  {line}" for line in lines if not line.startswith("@@")))


def _values(pillar, path="pillar"):
    """Every value of the pillar as lines, by its path; a list has a line for each item."""
    if isinstance(pillar, dict) and pillar:
        found = (_values(value, f"{path}:{key}") for key, value in pillar.items())
        return {name: lines for part in found for name, lines in part.items()}
    return {path: [json.dumps(item) for item in (pillar if isinstance(pillar, list) else [pillar])]}


def _states(low):
    """Every state as lines, by what identifies it; with the text of its file."""
    states = {}
    for chunk in low:
        shown = {key: value for key, value in sorted(chunk.items()) if key not in NOISE}
        text = shown.pop("rendered", "")
        name = f"state {chunk['__id__']} ({chunk['state']}.{chunk['fun']} {chunk['name']})"
        states[name] = [*yaml.safe_dump(shown, width=1000).splitlines(), *(f"| {line}" for line in text.splitlines())]
    return states


def _secrets(side):
    """The values under the pillar's key secrets and the private key, and their lines where they have several."""
    pillar = side["pillar"]
    hidden = {"secrets": pillar.get("secrets", {}), "key": pillar.get("tls", {}).get("key", "")}
    values = [json.loads(line) for lines in _values(hidden).values() for line in lines]
    return {piece for value in values for piece in [str(value), *str(value).splitlines()] if piece and value != {}}


def _hidden(lines, secrets):
    """Secrets look alike only where they are alike, and tell nothing else."""
    for secret in sorted(secrets, key=len, reverse=True):
        mask = f"<secret {hmac.digest(KEY, secret.encode(), 'sha256').hex()[:6]}>"
        shapes = {secret, json.dumps(secret)[1:-1], secret.replace("'", "''")}
        lines = {name: [_replaced(line, shapes, mask) for line in text] for name, text in lines.items()}
    return lines


def _replaced(line, shapes, mask):
    for shape in shapes:
        line = line.replace(shape, mask)
    return line


def main(argv):
    """Print the changes; return 0 if there are none, 2 if there are."""
    if len(argv) != 1:
        raise LabError("compare with which revision? make diff REV=main")
    found = diff(argv[0])
    for change, hosts in found:
        print(*change, f"  on {len(hosts)}: {' '.join(hosts)}", "", sep="\n")
    print(f"{len(found)} changes" if found else "every server stays as it is")
    return 2 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as exc:
        sys.exit(str(exc))
