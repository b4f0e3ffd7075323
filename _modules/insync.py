"""The operators' verbs on a server."""

import contextlib
import ipaddress
import socket

import insync_errors
import insync_fresh_pillar
import insync_health
import insync_lock
import insync_request
import insync_sshd
import insync_verb
import psutil
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync"

LONGEST = 600

_told = insync_errors.told(insync_sshd.SshdError, insync_lock.Held)
# What is asked of ct1 it reads itself.
_checked = insync_verb.checked(SaltInvocationError, insync_request.VERSION)


def __virtual__():
    return __virtualname__


@_told
def ports():
    """
    Compare the ports that this server listens on with those that the inventory declares.

    Returns a dict: ``declared``, ``missing`` (declared, but nothing listens) and ``undeclared`` (something listens that
    the inventory does not know), each a sorted list of str such as ``tcp/22``. Listeners on loopback do not count. Of
    the release slots of an application one has to listen.

    CLI Example:

    .. code-block:: bash

        salt '*' insync.ports
    """
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    declared = {f"{rule['protocol']}/{rule['port']}" for rule in pillar["firewall"]["allow"]}
    found = _listening()
    for pool in pillar["slots"].values():
        ports = {f"tcp/{port}" for port in pool.values()}
        declared -= ports - found if ports & found else set()
    return {
        "declared": sorted(declared),
        "missing": sorted(declared - found),
        "undeclared": sorted(found - declared),
    }


@_told
def health(wait=0):
    """
    Ask every service of this server as the inventory says under ``health``, and HAProxy how its servers are.

    wait (float): for how many seconds, 600 at most, that may take to become well.

    Returns a dict: ``well``, the sorted names of the services (list of str). Raises CommandExecutionError if one does
    not answer as it should, with what each of those answers instead.

    CLI Example:

    .. code-block:: bash

        salt '*' insync.health
    """
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    found = insync_health.problems(pillar["health"], _seconds(wait), __salt__.get("lb.unserved", dict))
    if found:
        raise CommandExecutionError("\n".join(f"{name}: {why}" for name, why in found.items()))
    return {"well": sorted(pillar["health"])}


def _seconds(wait):
    with contextlib.suppress(TypeError, ValueError):
        if 0 <= float(wait) <= LONGEST:
            return float(wait)
    raise SaltInvocationError(f"wait={wait}: is no number of seconds from 0 to {LONGEST}")


@_told
def confirm_sshd(test=False, **kwargs):
    """
    Keep a change of this server's sshd that the highstate could not prove; a timer would take it back.

    test (bool): only tell whether one waits.

    Returns a dict: confirmed (bool). Raises CommandExecutionError if no change waits to be confirmed.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.confirm_sshd
    """
    test = insync_verb.flag(test=test)
    with insync_verb.called("sshd", "insync.confirm_sshd", kwargs, __grains__["id"], test):
        if not test:
            insync_sshd.confirm()
        elif not insync_sshd.pending():
            raise insync_sshd.SshdError("no change of sshd waits to be confirmed")
    return {"confirmed": not test}


@_checked
def restart_web(test=False, **kwargs):
    """
    Restart web on the targeted servers without a lost request.

    All servers of the pool: the processes start anew beside the ones that serve, and take over in one moment. Only
    some: one after the other is taken out of the load balancer for it. ct1 leads it; what it did is recorded there.

    test (bool): only tell what would be done.

    Returns a dict: release, slot (old and new), changes, in_flight (requests that were waited for here), seconds,
    phases, by. Raises CommandExecutionError, with the former processes serving, saying what failed where.

    CLI Example:

    .. code-block:: bash

        salt 'web*' insync.restart_web
    """
    return _led("web", kwargs)


@_checked
def restart_license(test=False, **kwargs):
    """
    Restart license on the targeted servers; otherwise like ``insync.restart_web``.

    test (bool): only tell what would be done.

    CLI Example:

    .. code-block:: bash

        salt 'license*' insync.restart_license
    """
    return _led("license", kwargs)


@_checked
def update_in_web(*packages, test=False, watch=5, keep=600, **kwargs):
    """
    Move web, on all of its servers in the same moment, to a release in which packages are updated.

    packages (str): ``name==version``, or ``name`` for the newest; none at all asks for the newest of everything.
    test (bool), watch, keep (int): as for ``salt-run insync.update_in_web``.

    Returns a dict as ``salt-run insync.update_in_web`` does, which is the same. Raises CommandExecutionError if not all
    servers of the pool are targeted: it would be mixed.

    CLI Example:

    .. code-block:: bash

        salt 'web*' insync.update_in_web insync-web==2.4.0 insync-core
    """
    return _led("web", kwargs)


@_checked
def update_in_license(*packages, test=False, watch=5, keep=600, **kwargs):
    """
    Move license to a release in which packages are updated; otherwise like ``insync.update_in_web``.

    packages, test, watch, keep: as there.

    CLI Example:

    .. code-block:: bash

        salt 'license*' insync.update_in_license insync-license==2.4.0
    """
    return _led("license", kwargs)


def _led(app, told, seconds=900):
    """Let ct1 do what this job asks for; it reads that in its own record of the job."""
    jid = told.get("__pub_jid")
    if not jid:
        raise CommandExecutionError("ct1 leads this: call it there, with salt or salt-run")
    if app not in __pillar__["slots"]:
        raise CommandExecutionError(f"this server runs no {app}")
    __salt__["event.send"](insync_request.TAG, {"jid": str(jid)})
    said = insync_request.wait(app, jid, seconds)
    if said is None:
        raise CommandExecutionError(f"no answer of ct1 within {seconds} s; see 'salt-run insync.release_status {app}'")
    if "error" in said:
        raise CommandExecutionError(said["error"])
    done = said["done"]
    if "in_flight" in done:
        done["in_flight"] = done["in_flight"].get(__grains__["id"], 0)
    return done


def _listening():
    names = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
    return {
        f"{names[connection.type]}/{connection.laddr.port}"
        for connection in psutil.net_connections("inet")
        if _listens(connection) and not ipaddress.ip_address(connection.laddr.ip).is_loopback
    }


def _listens(connection):
    if connection.type == socket.SOCK_STREAM:
        return connection.status == psutil.CONN_LISTEN
    return not connection.raddr
