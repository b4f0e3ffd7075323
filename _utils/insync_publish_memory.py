"""What this server remembers of a bucket, so that it need not ask again; all of it may be lost."""

import contextlib
import json
import pathlib

import insync_files

# How many of its own publications it knows again, per unit.
OWN = 20


class Memory:
    """The part of a file that is about one bucket."""

    def __init__(self, path, store):
        """path (str or pathlib.Path): the file, made if need be. store (insync_store.Store)."""
        self._path, self._name = pathlib.Path(path), store.name
        found = self._read().get(self._name)
        self._facts = found if isinstance(found, dict) else {}

    @property
    def tested(self):
        """Whether the store has proved its conditional writes (bool)."""
        return bool(self._facts.get("tested"))

    @property
    def head(self):
        """The ETag (str or None) of head.json when it was last seen, and what was in it (dict)."""
        seen = self._facts.get("head")
        return (self._facts.get("etag"), seen) if isinstance(seen, dict) else (None, {})

    def own(self, unit):
        """Return the identities (list of str) of what this server has published, or has begun to, of ``unit`` (str)."""
        return self._facts.get("own", {}).get(unit, [])

    def keep(self, head=None, own=None, **facts):
        """
        Remember at once.

        head (tuple): ETag (str) and content (dict) of head.json. own (dict of str): unit -> identity.
        facts: tested (bool). Raises OSError.
        """
        if head:
            facts |= {"etag": head[0], "head": head[1]}
        if own:
            kept = {unit: [*(one for one in self.own(unit) if one != own[unit]), own[unit]][-OWN:] for unit in own}
            facts["own"] = {**self._facts.get("own", {}), **kept}
        self._facts = {**self._facts, **facts}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        insync_files.replace(self._path, json.dumps({**self._read(), self._name: self._facts}))

    def _read(self):
        with contextlib.suppress(FileNotFoundError, ValueError):
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}
