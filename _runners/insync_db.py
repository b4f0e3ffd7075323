"""The operators' verbs that change which server is the primary of the database; they run on ct1, one at a time."""

import insync_db_pair
import insync_db_switch
import insync_inventory
import insync_jobs
import insync_journal
import insync_lock
import insync_primaries
import insync_recorded
import insync_verb
import salt.utils.user

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused
from salt.exceptions import SaltInvocationError

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)

_LOCK = "/run/salt/master/db-{}.lock"
_ERRORS = (insync_db_pair.Refused, insync_db_switch.Failed, insync_jobs.JobError)


def __virtual__():
    return __virtualname__


@_checked
def switchover_db(to, *, test=False):
    """
    Let a replica be the primary, and the primary its replica, without losing anything; both have to answer.

    to (str): the replica. test (bool): only look, and tell what would be done.

    Returns a dict: primary, changes (primary: old and new; empty if it is the primary), written (what web says of a
    write), phases (seconds), seconds, by. Raises Refused with nothing changed, or saying which step failed where, how
    it stands now and how to go on.

    CLI Example:

    .. code-block:: bash

        salt-run insync.switchover_db db-slave02 test=True
        salt-run insync.switchover_db db-slave02
    """
    return _run("switchover_db", to, lambda switch: switch.switchover(to), test)


@_checked
def failover_db(to, *, accept_loss=False, test=False):
    """
    Let a replica be the primary, because the primary does not answer; that one is fenced until ``rejoin_db``.

    to (str): the replica. accept_loss (bool): also if something may be lost that was answered. test (bool): only look,
    and tell what would be done.

    Returns a dict as ``insync.switchover_db`` does, and acknowledged_loss (none or possible), why (the evidence of
    it), received (the last GTIDs that the replica has). Raises Refused in the same way.

    CLI Example:

    .. code-block:: bash

        salt-run insync.failover_db db-slave02
        salt-run insync.failover_db db-slave02 accept_loss=True
    """
    accept = _flag(accept_loss=accept_loss)
    verb = "failover_db" if not accept else "failover_db accept_loss=True"
    return _run(verb, to, lambda switch: switch.failover(to, accept), test)


@_checked
def rejoin_db(host, *, test=False):
    """
    Let a server that was the primary, and was lost, follow the present one.

    What it was about to answer and nobody has confirmed is cut off at its start; what only it has beyond that is kept
    in a file there, and then its data is made anew.

    host (str): that server. test (bool): only look, and tell what would be done.

    Returns a dict: server, primary, changes, salvaged (list of dict: file, transactions, rows). Raises Refused as
    ``insync.switchover_db`` does.

    CLI Example:

    .. code-block:: bash

        salt-run insync.rejoin_db db
    """
    return _run("rejoin_db", host, lambda switch: switch.rejoin(host), test)


def _run(kind, server, act, test):
    test, by = _flag(test=test), salt.utils.user.get_specific_user()
    name, _, options = kind.partition(" ")
    verb = " ".join(filter(None, ["salt-run", f"insync.{name}", str(server), options]))
    try:
        pair = insync_db_pair.pair_of(_inventory(), str(server))
        with insync_lock.held(_LOCK.format(pair.environment), verb, by=by):
            # Nobody changes it any more.
            pair = insync_db_pair.pair_of(_inventory(), str(server))
            journal = insync_journal.Journal(insync_primaries.FOLDER, verb, by, pair.servers, keep=not test)
            switch = _switch(pair, journal, verb, by, test)
            return insync_recorded.recorded(journal, lambda: act(switch), _ERRORS, "insync/db/switch", __opts__)
    except (insync_db_pair.Refused, insync_inventory.InventoryError) as exc:
        raise Refused(str(exc)) from exc
    except insync_lock.Held as exc:
        raise Refused(f"{exc}; nothing was done") from exc
    except OSError as exc:
        raise Refused(f"{exc.filename}: {exc.strerror}") from exc


def _switch(pair, journal, verb, by, test):
    def keep(primary, fenced, **facts):
        since = journal.record["since"]
        insync_primaries.write(pair.environment, primary, fenced, by=by, verb=verb, since=since, **facts)

    kept = insync_primaries.read().get(pair.environment, {})
    return insync_db_switch.Switch(pair, insync_jobs.Jobs(__opts__), journal, keep, verb, test, kept)


def _flag(**options):
    try:
        return insync_verb.flag(**options)
    except SaltInvocationError as exc:
        raise Refused(str(exc)) from exc


def _inventory():
    return insync_inventory.load(f"{__opts__['pillar_roots']['base'][0]}/inventory")
