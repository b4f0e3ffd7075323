"""The operators' verbs that move, restart and show releases; they run on ct1, one at a time for each pool."""

import contextlib
import pathlib

import insync_inventory
import insync_jobs
import insync_journal
import insync_lock
import insync_pool
import insync_release_run
import insync_releases
import insync_request
import insync_rolling
import insync_rollout
import insync_verb
import salt.utils.event
import salt.utils.user

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused
from salt.exceptions import SaltInvocationError

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)
_checked_packages = insync_verb.checked(Refused, insync_request.VERSION)

_LOCK = "/run/salt/master/release-{}.lock"
_REQUESTS = "/run/salt/master/release-requests"
_RECORDS = pathlib.Path("/var/lib/insync")


def __virtual__():
    return __virtualname__


@_checked
def restart_web(test=False):
    """
    Restart web on all of its servers, with the release that they have and without a lost request.

    test (bool): only tell what would be done.

    Returns a dict: release, slot (old and new), changes, in_flight (server -> requests that were waited for), phases
    (seconds), seconds, by. Raises Refused, with nothing touched or the former processes serving, saying what failed
    where.

    CLI Example:

    .. code-block:: bash

        salt-run insync.restart_web
    """
    return _restart("web", test)


@_checked
def restart_license(test=False):
    """
    Restart license on all of its servers; otherwise like ``insync.restart_web``.

    test (bool): only tell what would be done.

    CLI Example:

    .. code-block:: bash

        salt-run insync.restart_license
    """
    return _restart("license", test)


@_checked_packages
def update_in_web(*packages, test=False, watch=5, keep=600):
    """
    Move web, on all of its servers in the same moment, to a release in which packages are updated.

    packages (str): ``name==version``, or ``name`` for the newest; none at all asks for the newest of everything.
    test (bool): only tell what would be done; the index is asked, nothing is built.
    watch (float): for how many seconds the new release is watched before it stays.
    keep (int): for how many seconds the old one runs on, to be come back to at once.

    Returns a dict as ``insync.restart_web`` does, and packages: name -> old and new version. No changes if they are
    what is asked for already. Raises Refused, with the former release serving, saying what failed where.

    CLI Example:

    .. code-block:: bash

        salt-run insync.update_in_web insync-web==2.4.0 insync-core
        salt-run insync.update_in_web
    """
    return _update("web", packages, test, watch=watch, keep=keep)


@_checked_packages
def update_in_license(*packages, test=False, watch=5, keep=600):
    """
    Move license to a release in which packages are updated; otherwise like ``insync.update_in_web``.

    packages, test, watch, keep: as there.

    CLI Example:

    .. code-block:: bash

        salt-run insync.update_in_license insync-license==2.4.0
    """
    return _update("license", packages, test, watch=watch, keep=keep)


@_checked
def rollback_web(test=False, keep=600):
    """
    Let web serve the release before again: at once if it still runs, else after its start.

    test (bool): only tell what would be done.
    keep (int): for how many seconds the release that is left runs on.

    Returns a dict as ``insync.restart_web`` does. Raises Refused saying what failed, or that there is none.

    CLI Example:

    .. code-block:: bash

        salt-run insync.rollback_web
    """
    return _rollback("web", test, keep)


@_checked
def rollback_license(test=False, keep=600):
    """
    Let license serve the release before again; otherwise like ``insync.rollback_web``.

    test, keep: as there.

    CLI Example:

    .. code-block:: bash

        salt-run insync.rollback_license
    """
    return _rollback("license", test, keep)


@_checked
def restart(app, test=False):
    """
    Restart an application with the release that it has; web and license as their own verbs do.

    app (str): such as ``mailer``. One with a single slot is restarted server by server, and is away for a moment.
    test (bool): only tell what would be done.

    Returns a dict as ``insync.restart_web`` does. Raises Refused saying what failed where; it runs as before then.

    CLI Example:

    .. code-block:: bash

        salt-run insync.restart mailer
    """
    return _restart(app, test)


@_checked_packages
def update_in(app, *packages, test=False, keep=600):
    """
    Move an application to a release in which packages are updated; web and license as their own verbs do.

    app (str): such as ``mailer``. One with a single slot is restarted server by server, and is away for a moment.
    packages, test, keep: as for ``insync.update_in_web``.

    CLI Example:

    .. code-block:: bash

        salt-run insync.update_in mailer insync-mailer==2.4.0
        salt-run insync.update_in conf_server
    """
    return _update(app, packages, test, keep=keep)


@_checked
def rollback(app, test=False, keep=600):
    """
    Let an application run the release before again; web and license as their own verbs do.

    app (str): such as ``mailer``.
    test, keep: as for ``insync.rollback_web``.

    CLI Example:

    .. code-block:: bash

        salt-run insync.rollback mailer
    """
    return _rollback(app, test, keep)


@_checked
def release_status(*apps):
    """
    Tell which release runs where, since when, by whom, and what ``rollback`` would come back to.

    apps (str): such as ``web`` or ``mailer``; all if none is named.

    Returns a dict: app -> servers (server -> release, slot, since, by, previous, slots), last (what the last run was,
    and how it ended), and of web and license active (slot) and balancer (server -> status). Servers that do not answer
    are named instead.

    CLI Example:

    .. code-block:: bash

        salt-run insync.release_status
        salt-run insync.release_status web --out=json
    """
    return {name: _status(_application(name)) for name in apps or _names()}


@_checked
def drain(host, timeout=60, test=False):
    """
    Take a server out of the load balancer for maintenance, once what it has begun is answered.

    host (str): a server of a pool.
    timeout (int): for how many seconds requests in flight are waited for.
    test (bool): only tell what would be done.

    Returns a dict: changes, waited_for (requests), seconds. Raises Refused if nobody else would serve.

    CLI Example:

    .. code-block:: bash

        salt-run insync.drain web02
    """
    return _maintenance("drain", host, test, timeout=timeout, by=_who())


@_checked
def undrain(host, test=False):
    """
    Let the load balancer ask a server again, once it is well.

    host (str): a server that ``insync.drain`` took out.
    test (bool): only tell what would be done.

    Returns a dict: changes, seconds. Raises Refused if it does not become well.

    CLI Example:

    .. code-block:: bash

        salt-run insync.undrain web02
    """
    return _maintenance("undrain", host, test)


@_checked
def release_requested(jid, server):
    """
    Do what a job asks for that runs a release verb on servers; the reactor calls it when one of these says so.

    jid (str): the job. The master's own record tells what it is; nothing that a server says of it counts.
    server (str): who says so.

    Returns True if it was this call that did it: each server of the job says so, and the first one counts.

    CLI Example:

    .. code-block:: bash

        salt-run insync.release_requested 20261125220000000000 web02
    """
    request = insync_request.find(__salt__["jobs.list_job"](str(jid)), server)
    if not request or not insync_request.first(_REQUESTS, jid):
        return False
    environment = insync_inventory.environment_of(_inventory(), server)
    pool = _pool(insync_inventory.application_name(environment, request.pool))
    servers = [name for name in pool.servers if name in request.servers]
    answer = {"error": f"{request.pool}: ended early; see 'salt-run insync.release_status {pool.key}'"}
    try:
        answer = {"done": _requested(request, pool, servers)}
    except Refused as exc:
        answer = {"error": str(exc)}
    finally:
        # Whatever happens: the jobs wait for it.
        pool.on_servers("insync_slot.answer", str(jid), answer, servers=servers)
    return True


def _requested(request, pool, servers):
    if request.verb == "update_in" and servers != pool.servers:
        others = ", ".join(name for name in pool.servers if name not in servers)
        raise Refused(
            f"{others} would stay as it is, and {pool.key} be mixed; nothing was done. For all of them: "
            f"salt-run {_verb('update_in', pool.key)} {' '.join(request.packages)}".rstrip()
        )
    wrong = insync_request.unknown(request.verb, request.options)
    if wrong:
        raise Refused(f"{wrong}; nothing was done")
    options = {"test": False, **request.options, "by": request.by}
    if request.verb == "update_in":
        return _update(pool.key, request.packages, **options)
    return _restart(pool.key, servers=servers, **options)


def _restart(name, test, servers=None, by=None):
    def act(moving):
        if servers is None or servers == moving.app.servers:
            return moving.restart()
        return moving.restart_some(servers)

    return _run(name, _verb("restart", name), act, test, by=by)


def _update(name, packages, test, by=None, **options):
    options = {key: _seconds(key, value) for key, value in options.items()}
    verb = " ".join([_verb("update_in", name), *map(str, packages)])
    return _run(name, verb, lambda moving: moving.update(packages), test, by=by, **options)


def _rollback(name, test, keep):
    options = {"keep": _seconds("keep", keep)}
    return _run(name, _verb("rollback", name), lambda moving: moving.rollback(), test, **options)


def _verb(kind, name):
    """What is typed for it: web and license of production have verbs of their own."""
    own = f"insync.{kind}_{name}"
    return own if own in __salt__ else f"insync.{kind} {name}"


def _seconds(name, value):
    with contextlib.suppress(TypeError, ValueError):
        if float(value) >= 0:
            return int(value) if float(value).is_integer() else float(value)
    raise Refused(f"{name}: {value!r} is no number of seconds; nothing was done")


def _flag(**options):
    try:
        return insync_verb.flag(**options)
    except SaltInvocationError as exc:
        raise Refused(f"{exc}; nothing was done") from exc


def _run(name, verb, act, test, by=None, **options):
    by, app, test = by or _who(), _application(name), _flag(test=test)
    verb = f"{verb} test=True" if test else verb
    try:
        with insync_lock.held(_LOCK.format(name), verb, by=by):
            journal = insync_journal.Journal(_RECORDS / name, verb, by, app.servers, keep=not test)
            return _recorded(journal, act, name, _moving(app, journal, by, test, **options))
    except insync_lock.Held as exc:
        raise Refused(f"{name}: {exc}; nothing was done") from exc
    except OSError as exc:
        raise Refused(f"{name}: {exc.filename}: {exc.strerror}") from exc


def _moving(app, journal, by, test, **options):
    if isinstance(app, insync_pool.Pool):
        return insync_rollout.Rollout(app, journal, by, test=test, **options)
    # What has one slot is neither watched nor kept running.
    return insync_rolling.Rolling(app, journal, by, test=test)


def _recorded(journal, act, name, moving):
    """Run it, and leave a record and an event, however it ends."""
    try:
        done = act(moving)
    except (insync_release_run.Refused, insync_release_run.Failed) as exc:
        _end(journal, name, str(exc))
        raise Refused(f"{name}: {exc}") from exc
    except BaseException as exc:
        _end(journal, name, f"ended by {type(exc).__name__}")
        raise
    record = _end(journal, name, "ok", **done)
    return {**done, **{key: record[key] for key in ("by", "seconds", "phases", "unrecorded") if key in record}}


def _end(journal, name, end, **facts):
    record = journal.end(end, **facts)
    # What only tells what it would do is no release that ended.
    if journal.keep:
        with salt.utils.event.get_event("master", opts=__opts__, listen=False) as bus:
            bus.fire_event(record, f"insync/release/{name}")
    return record


def _status(app):
    found = {"last": insync_journal.last(_RECORDS / app.key)}
    try:
        if not isinstance(app, insync_pool.Pool):
            return {"servers": app.servers_status(), **found}
        balancer, servers = app.status()
    except insync_jobs.JobError as exc:
        answers = {"servers": exc.answers} if exc.function == "insync_slot.status" else {}
        return {**answers, **found, "failed": exc.failed}
    return {"active": balancer["active"], "balancer": balancer["servers"], "servers": servers, **found}


def _maintenance(verb, host, test, **options):
    inventory = _inventory()
    pool = next((name for name, servers in insync_inventory.all_pools(inventory).items() if host in servers), None)
    if not pool:
        known = [server for servers in insync_inventory.all_pools(inventory).values() for server in servers]
        raise Refused(f"{host}: in no pool{insync_inventory.hint(host, known)}")

    def act(moving):
        balancer, test = moving.app.balancer, moving.test
        with moving.journal.phase(verb, host), insync_release_run.refusing():
            return moving.app.jobs.call([balancer], f"lb.{verb}", host, test=test, **options)[balancer]

    return _run(pool, f"insync.{verb} {host}", act, test)


def _pool(name):
    try:
        return insync_pool.Pool(__opts__, _inventory(), name)
    except insync_inventory.InventoryError as exc:
        raise Refused(str(exc)) from exc


def _application(name):
    """The application ``name``, a pool or one with a single slot."""
    if name in insync_inventory.all_pools(_inventory()):
        return _pool(name)
    single = _single()
    if name not in single:
        raise Refused(f"{name}: no application of this fleet{insync_inventory.hint(name, _names())}")
    return insync_pool.Application(__opts__, _inventory(), name, single[name])


def _names():
    return [*insync_inventory.all_pools(_inventory()), *_single()]


def _single():
    return insync_releases.single(__opts__["pillar_roots"]["base"], _inventory())


def _inventory():
    return insync_inventory.load(f"{__opts__['pillar_roots']['base'][0]}/inventory")


def _who():
    return salt.utils.user.get_specific_user()
