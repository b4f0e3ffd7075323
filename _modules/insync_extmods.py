"""What this minion has of the modules of the checkout."""

import pathlib

import insync_extmods
import insync_verb
from salt.exceptions import SaltInvocationError

__virtualname__ = "insync_extmods"


def __virtual__():
    return __virtualname__


@insync_verb.checked(SaltInvocationError)
def digests():
    """
    Return a dict: kind -> SHA-256 (str) of all modules of that kind, as they are on disk; the master compares.

    CLI Example:

    .. code-block:: bash

        salt web02 insync_extmods.digests
    """
    return insync_extmods.digests(pathlib.Path(__opts__["extension_modules"]))
