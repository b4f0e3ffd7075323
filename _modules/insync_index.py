"""What the fleet's package index has for a release; the release verbs ask it once, on ct1."""

import socket
import urllib.parse

import insync_venv
import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync_index"

SECONDS = 2


def __virtual__():
    return __virtualname__


@insync_verb.checked(SaltInvocationError)
def resolve(pins, root, wanted, index, ca):
    """
    Make the lock of a release out of the one before it.

    pins (str): the lock to start from: requirements with ``==`` and hashes.
    root (str): the package that needs all the others, such as ``insync-web``.
    wanted (dict): name -> version of what is to be updated, "" for the newest; all else stays as far as it fits.
    index (str): URL of the package index.
    ca (str): file with the certificate of the authority that vouches for it.

    Returns the new lock (str). Raises CommandExecutionError in one line: the index does not answer, a version does not
    exist, or what is wanted does not fit together.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync_index.resolve "$(cat web.txt)" insync-web wanted='{insync-core: ""}' index=... ca=...
    """
    _answers(urllib.parse.urlsplit(index))
    try:
        return insync_venv.resolve(pins, root, wanted, index=index, ca=ca)
    except insync_venv.VenvError as exc:
        raise CommandExecutionError(str(exc)) from exc


def _answers(index):
    """Ask in advance: uv itself tries again for half a minute."""
    port = index.port or {"http": 80}.get(index.scheme, 443)
    try:
        socket.create_connection((index.hostname, port), timeout=SECONDS).close()
    except OSError as exc:
        raise CommandExecutionError(
            f"the package index {index.hostname}:{port} does not answer ({exc.strerror or exc}); what is built already "
            "can still be restarted and rolled back"
        ) from exc
