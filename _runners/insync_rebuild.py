"""The operators' verb that brings a server back which was lost entirely; it runs on ct1."""

import pathlib

import insync_backup_keys
import insync_db_pair
import insync_enroll
import insync_inventory
import insync_jobs
import insync_journal
import insync_lock
import insync_rebuild
import insync_recorded
import insync_site
import insync_verb
import salt.client
import salt.utils.user
from salt.exceptions import CommandExecutionError, SaltInvocationError

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)

_FOLDER = pathlib.Path("/var/lib/insync/rebuild")
_LOCK = "/run/salt/master/rebuild-{}.lock"
# A server that makes all anew may be too busy to say that it is at it.
_STILL = 30
# In which a server that was cut off had not become a minion yet.
_BEFORE = ("", "look", "minion")


def __virtual__():
    return __virtualname__


@_checked
def rebuild(host, *, test=False):
    """
    Bring back a server that was lost entirely, on a new droplet: Salt, its states, its data from the newest backups.

    host (str): the server; not ct1, which is brought back from outside (docs/rebuild.md).
    test (bool): only look whether it can be done, and tell what would be.

    The new droplet has the same addresses; ct1's key is root's there, and its host key is in
    /etc/salt/bootstrap/known_hosts. A run that was cut off is gone on with by the same command.

    Returns a dict: server, changed (int: states that changed something), restored (dict: kind of data -> backup,
    age_hours, and aside: where that is what the first highstate had made), phases (seconds), seconds, by; in test mode
    server and steps (list of str). Raises Refused with nothing changed, or saying which step failed, and how to go on.

    CLI Example:

    .. code-block:: bash

        salt-run insync.rebuild web02 test=True
        salt-run insync.rebuild web02
    """
    host, test, by = str(host), _flag(test), salt.utils.user.get_specific_user()
    verb = f"salt-run insync.rebuild {host}"
    try:
        inventory = insync_inventory.load(_checkout() / "pillar" / "inventory")
        _known(inventory, host)
        with insync_lock.held(_LOCK.format(host), verb, by=by):
            return _rebuilt(inventory, host, verb, by, test)
    except (insync_inventory.InventoryError, insync_site.SiteError, insync_rebuild.Refused) as exc:
        raise Refused(str(exc)) from exc
    except insync_lock.Held as exc:
        raise Refused(f"{exc}; nothing was done") from exc
    except OSError as exc:
        raise Refused(f"{exc.filename}: {exc.strerror}") from exc


def _known(inventory, host):
    if "salt_master" in insync_inventory.roles_of(inventory, host):
        raise insync_rebuild.Refused(f"{host} is where this runs: docs/rebuild.md tells how it comes back")


def _rebuilt(inventory, host, verb, by, test):
    folder = _FOLDER / host
    run = insync_rebuild.Rebuild(
        host,
        insync_jobs.Jobs(__opts__, still=_STILL),
        # What is refused leaves the record of the run before.
        insync_journal.Journal(folder, verb, by, [host], keep=False),
        _Minion(host),
        host in insync_backup_keys.servers(__opts__["pillar_roots"]["base"], inventory),
        _pair(inventory, host),
        lambda: __salt__["insync.rejoin_db"](host),
    )
    again = _cut_off(folder) and run.minion.answers()
    run.check(again)
    if test:
        return {"server": host, "steps": run.steps(again)}
    folder.mkdir(parents=True, exist_ok=True)
    run.journal = insync_journal.Journal(folder, verb, by, [host])
    act, errors = (lambda: run.run(again)), (insync_rebuild.Failed,)
    return insync_recorded.recorded(run.journal, act, errors, "insync/rebuild", __opts__)


def _cut_off(folder):
    record = insync_journal.last(folder)
    return bool(record) and record["end"] != "ok" and record["phase"] not in _BEFORE


def _pair(inventory, host):
    try:
        return insync_db_pair.pair_of(inventory, host)
    except insync_db_pair.Refused:
        return None


class _Minion:
    """How ``host`` becomes a minion of this master."""

    def __init__(self, host):
        self._host = host
        self._client = salt.client.get_local_client(mopts=__opts__)

    def answers(self):
        return bool(insync_enroll.answering(self._client, __opts__, [self._host]))

    def reach(self):
        try:
            insync_enroll.Enrolment(__opts__, _checkout(), []).reach(self._host)
        except CommandExecutionError as exc:
            raise insync_rebuild.Refused(
                f"{exc}; the droplet is made anew first (docs/rebuild.md). Nothing was done"
            ) from exc

    def enrol(self):
        by = salt.utils.user.get_specific_user()
        try:
            with insync_enroll.alone("insync.rebuild", by):
                insync_enroll.forget(__opts__, self._host)
                insync_enroll.Enrolment(__opts__, _checkout(), [self._host]).server(self._host)
        except CommandExecutionError as exc:
            raise ValueError(str(exc)) from exc
        if self._host not in insync_enroll.ready(self._client, __opts__, [self._host]):
            raise ValueError("accepted, but no answer; see 'journalctl -u salt-minion' there")


def _flag(test):
    try:
        return insync_verb.flag(test=test)
    except SaltInvocationError as exc:
        raise Refused(str(exc)) from exc


def _checkout():
    return pathlib.Path(__opts__["pillar_roots"]["base"][0]).parent
