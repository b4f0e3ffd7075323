"""The identity of a Salt release: the hash of the requirements that it is installed from."""

import hashlib
import pathlib


def salt_id(checkout):
    """
    Return the id of the Salt release that ``checkout`` pins: 12 hex digits.

    checkout (str or pathlib.Path): the root of this repository.
    Raises OSError if it has no ``requirements/salt.txt``.
    """
    requirements = pathlib.Path(checkout, "requirements", "salt.txt")
    return hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
