"""The site folder: what differs between installations (people, secrets, settings), outside this repository."""

import copy
import functools
import pathlib

import yaml

# As safe, and a tenth of the time where libyaml is there.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# A check asks for the same few files some hundred times.
@functools.lru_cache(256)
def _once(text):
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  a safe loader


def parsed(text):
    """
    Return what the YAML in ``text`` (str) says; the caller may change it.

    Raises yaml.YAMLError.
    """
    return copy.deepcopy(_once(text))


class SiteError(ValueError):
    """The site folder lacks something or holds something wrong; the message names file, key and remedy."""


def read(roots, name):
    """
    Return the mapping in the file ``name`` of the first pillar root that has it.

    roots (list of str): the pillar roots, in order.
    Raises SiteError if no root has the file, or if it is not a mapping.
    """
    for root in roots:
        path = pathlib.Path(root, name)
        if path.is_file():
            break
    else:
        raise SiteError(f"{name}: no such file in the site folder ({roots[-1]}); see docs/bootstrap.md")
    try:
        data = parsed(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as exc:
        raise SiteError(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(data, dict):
        raise SiteError(f"{path}: expected a mapping")
    return data


def complete(values, name, known, kind=""):
    """
    Return ``values`` (dict), the content of the file ``name`` (str), if it has each key of ``known`` and no other.

    known (dict): key -> what it is, for who has to supply it. kind (str): what the keys are, such as ``secret``.
    Raises SiteError naming the key that is missing, empty or surplus.
    """
    kind = f"{kind} " if kind else ""
    for key, what in known.items():
        if not values.get(key):
            raise SiteError(f"{name}: {kind}'{key}' is missing ({what})")
    for key in values:
        if key not in known:
            raise SiteError(f"{name}: {kind}'{key}' is not one of {', '.join(known)}")
    return values
