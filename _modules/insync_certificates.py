"""The certificates of a server, as its clients see them."""

import insync_certificates
import insync_verb
from salt.exceptions import SaltInvocationError

__virtualname__ = "insync"


def __virtual__():
    return __virtualname__


@insync_verb.checked(SaltInvocationError)
def certificates(wanted=None):
    """
    Ask for the certificates that this server can see: its own public ones, and those of the fleet's servers that it is
    a client of. Of several clients one asks.

    wanted (list of dict): for which, of all that ``salt-run insync.certificates`` wants to know; without it, those of
        this server's pillar.

    Returns a list of dict: server, service, network, address, port, name, issuer, names, expires, self_signed, and
    fleet (whether the fleet's own CA has issued it); instead of the last five, error where there is none to be had.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.certificates
    """
    if not isinstance(wanted, list | None):
        raise SaltInvocationError(f"wanted: {wanted!r} is no list; this server's pillar says it, too")
    for one in wanted or []:
        if not (isinstance(one, dict) and {"by", "name", "address", "port"} <= one.keys()):
            raise SaltInvocationError(f"wanted: {one!r} does not say by, name, address and port")
    asked = __pillar__["certificates"] if wanted is None else [one for one in wanted if one["by"] == __grains__["id"]]
    return insync_certificates.shown(asked, __pillar__["tls"]["ca"])
