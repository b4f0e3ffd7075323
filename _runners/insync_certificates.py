"""The certificates of the fleet, in one table; it runs on ct1."""

import datetime
import pathlib

import insync_certificates
import insync_inventory
import insync_site
import insync_tls
import insync_verb
import salt.client

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)


def __virtual__():
    return __virtualname__


@_checked
def certificates():
    """
    Print every certificate that the servers show, public ones and the fleet's own, and what is wrong with it.

    What is wrong: expired; expires soon (public ones with fewer than 21 days, which their timer should not let happen,
    the fleet's own with fewer than 30); self-signed; of another name than it should be; of a private service and not
    from the fleet's own CA, or of a public one and from it; missing. Of which public CA it is is told, and not judged.

    Returns a dict whose ``data`` is a list of dict: server, name, service, issuer, expires, days, problem. The exit
    code is 1 if there is a problem.

    CLI Example:

    .. code-block:: bash

        salt-run insync.certificates
        salt-run insync.certificates --out=json
    """
    roots = __opts__["pillar_roots"]["base"]
    inventory, now = insync_inventory.load(pathlib.Path(roots[0], "inventory")), datetime.datetime.now(datetime.UTC)
    wanted = insync_inventory.certificates(inventory)
    asked = sorted({one["by"] for one in wanted})
    client = salt.client.get_local_client(mopts=__opts__)
    # What the minions have in their pillar may be older.
    answers = client.cmd(asked, "insync.certificates", kwarg={"wanted": wanted}, tgt_type="list")
    rows = insync_certificates.rows(wanted, answers, now)
    try:
        rows.append(insync_certificates.authority_row(insync_tls.of_host(roots, inventory, asked[0])["ca"], now))
    except insync_site.SiteError as exc:
        raise Refused(str(exc)) from exc
    return {"data": rows, "outputter": "insync_table", "retcode": int(any(row["problem"] for row in rows))}
