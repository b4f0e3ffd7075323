"""The modules of the checkout, and those that a minion has been given: the same, if a digest of each kind is."""

import hashlib

KINDS = ("utils", "modules", "states")


def digests(folder, pattern="{kind}"):
    """
    Return {kind: SHA-256 (str) of the names and contents of its modules}.

    folder (pathlib.Path): where the folders of all kinds are. pattern (str): what they are called.
    """
    return {kind: _digest(folder / pattern.format(kind=kind)) for kind in KINDS}


def _digest(folder):
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.name} {len(content)}\n".encode() + content)
    return found.hexdigest()
