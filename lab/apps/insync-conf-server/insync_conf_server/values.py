"""What may be conf: a JSON object of named values, none of them null."""

import json
import re

LARGEST = 1 << 20
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class BadValues(Exception):
    """Not conf; the message says what is wrong, and where, without the values."""


def parse(content):
    """Return the values (dict) in ``content`` (bytes of JSON). Raises BadValues."""
    if len(content) > LARGEST:
        raise BadValues(f"more than {LARGEST} bytes")
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as exc:
        raise BadValues(f"not JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}") from None
    except UnicodeDecodeError as exc:
        raise BadValues(f"not JSON: byte {exc.start} is not UTF-8") from None
    except RecursionError:
        raise BadValues("not conf: nested too deep") from None
    if not isinstance(found, dict):
        raise BadValues("not a JSON object")
    if not found:
        raise BadValues("an object without keys")
    for name, value in found.items():
        if not _NAME.fullmatch(name):
            raise BadValues(f"{name[:80]!r} is no key: small letters, digits and _ only")
        _check(name, value)
    return found


def same(one, other):
    """Return whether both are the same JSON; for Python 1, 1.0 and True are equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _check(where, value):
    if value is None:
        raise BadValues(f"{where} is null; a key that is no longer wanted is left out")
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise BadValues(f"{where} is not Unicode")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        _check(f"{where}.{key}", entry)


def _object(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise BadValues(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _constant(name):
    raise BadValues(f"not JSON: {name}")
