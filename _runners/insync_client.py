"""The operators' verbs that release the desktop client; they run on ct1, one at a time."""

import pathlib

import insync_client_release
import insync_inventory
import insync_jobs
import insync_journal
import insync_lock
import insync_verb
import insync_version
import salt.utils.user

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused
from salt.exceptions import SaltInvocationError

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)

_LOCK = "/run/salt/master/client-release.lock"
_RECORDS = pathlib.Path("/var/lib/insync/client")


def __virtual__():
    return __virtualname__


@_checked
def release_client(version, *, test=False):
    """
    Release the desktop client on all platforms: preflight, apt, yum, sync, verify, current versions.

    version (str): such as 3.9.7.60031; its builds lie in the release source.
    test (bool): only look at the builds, the keys, the store and the downloads, and tell what is there.

    Returns a dict: step -> what it did, and version, by, seconds, phases. Called again after a run that was cut short
    it goes on where that one was. Raises Refused saying where it stopped; what was published is taken back then.

    CLI Example:

    .. code-block:: bash

        salt-run insync.release_client 3.9.7.60031
        salt-run state.orchestrate orch.release_client pillar='{"version": "3.9.7.60031"}'
    """
    test, by = _wanted(version, test), salt.utils.user.get_specific_user()
    verb = f"insync.release_client {version}" + (" test=True" if test else "")
    try:
        with insync_lock.held(_LOCK, verb, by=by):
            journal = insync_journal.Journal(_RECORDS, verb, by, [_server()], keep=not test)
            return _recorded(version, journal, test)
    except insync_lock.Held as exc:
        raise Refused(f"{exc}; nothing was done") from exc
    except OSError as exc:
        raise Refused(f"{exc.filename}: {exc.strerror}") from exc


@_checked
def releases():
    """
    Print which version of the desktop client was released when, and by whom.

    Returns a list of dict: version, since, by, seconds; the newest last.

    CLI Example:

    .. code-block:: bash

        salt-run insync.releases
        salt-run insync.releases --out=json
    """
    return {"data": insync_client_release.completed(_RECORDS), "outputter": "insync_table"}


def _wanted(version, test):
    """Return whether it is only a test; Refused for what is no version, or neither true nor false."""
    try:
        insync_version.parse(version)
        return insync_verb.flag(test=test)
    except (SaltInvocationError, insync_version.VersionError) as exc:
        raise Refused(str(exc)) from exc


def _recorded(version, journal, test):
    known = version in [release["version"] for release in insync_client_release.completed(_RECORDS)]
    jobs = insync_jobs.Jobs(__opts__)
    release = insync_client_release.ClientRelease(version, _server(), jobs, journal, known=known)
    try:
        done = release.run(test)
    except insync_client_release.Failed as exc:
        journal.end(str(exc))
        raise Refused(str(exc)) from exc
    except BaseException as exc:
        journal.end(f"ended by {type(exc).__name__}")
        raise
    record = journal.end("ok", version=version)
    return {**done, **{key: record[key] for key in ("version", "by", "seconds", "phases")}}


def _server():
    """The server that plays the role."""
    inventory = insync_inventory.load(f"{__opts__['pillar_roots']['base'][0]}/inventory")
    return next(name for name in inventory["hosts"] if "repos" in insync_inventory.roles_of(inventory, name))
