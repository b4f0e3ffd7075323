"""The load balancer: which slot of a pool it asks, and which of its servers."""

import datetime
import json
import pathlib
import time

import insync_errors
import insync_files
import insync_haproxy
import insync_http
import insync_inventory
import insync_lock
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "lb"

MAP = "/etc/haproxy/active.map"
FIRST = "blue"
LOCK = "/run/lock/insync-lb.lock"
MAINTENANCE = pathlib.Path("/var/lib/insync/lb/maintenance.json")
PAUSE = 0.05
# A process that a reload leaves lives for hard-stop-after (60 s) at most.
FORMER = 70

_told = insync_errors.told(insync_haproxy.HaproxyError, insync_lock.Held)


def __virtual__():
    if "haproxy" in __pillar__:
        return __virtualname__
    return False, "this server is no load balancer"


@_told
def status(pool=None):
    """
    Tell which slot of a pool is asked, and how its servers are.

    pool (str): an application such as ``web``; all if left out.

    Returns a dict: pool -> active (slot), file (the slot that the next start of HAProxy would ask), slots (slot ->
    server -> status such as UP), in_flight (slot -> requests), maintenance (server -> since and by).

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.status web
    """
    rows, runtime, file = insync_haproxy.statistics(), insync_haproxy.entries(MAP), insync_haproxy.read(MAP)
    found = {}
    for name in [_known(pool)] if pool else _pools():
        slots = _slots(name, rows)
        found[name] = {
            "active": runtime.get(name, FIRST),
            "file": file.get(name, FIRST),
            "slots": {slot: {host: row["status"] for host, row in servers.items()} for slot, servers in slots.items()},
            "in_flight": {slot: _in_flight(servers) for slot, servers in slots.items()},
            "maintenance": {host: told for host, told in _maintenance().items() if host in slots[FIRST]},
        }
    return found


@_told
def unserved():
    """
    Tell which pools nobody serves: of the slot that is asked no server is up.

    Returns a dict: pool -> why (str).

    CLI Example:

    .. code-block:: bash

        salt 'web-lb*' lb.unserved
    """
    found = {}
    for pool, now in status().items():
        servers = now["slots"][now["active"]]
        if not any(state.startswith("UP") for state in servers.values()):
            how = ", ".join(f"{server} {state}" for server, state in sorted(servers.items()))
            found[pool] = f"{now['active']} is asked, and of its servers none is up ({how})"
    return found


@_told
def flip(pool, to, expect, wait=10, test=False):
    """
    Let all requests of a pool go to another slot, from one moment to the next.

    pool (str): the application. to (str): the slot. expect (str): the slot that is asked now.
    wait (float): for how many seconds the servers of the new slot may take until HAProxy finds all of them well.
    test (bool): only tell what would change.

    After a reload, HAProxy's former process answers the clients that it has by the map that it had: until it has ended,
    a minute at most, two slots would answer. That is waited for.

    Returns a dict: changes, and milliseconds from the order to the record on the disk. Raises CommandExecutionError,
    with nothing changed, if another slot is asked than expected, or if a server of the new one is not well.

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.flip web green blue
    """
    _slot(_known(pool), to)
    if _left(pool, to, expect) == to:
        return {"changes": {}, "milliseconds": 0.0}
    # Before the lock, which others wait for.
    _all_well(pool, to, time.monotonic() + wait)
    if not test:
        _no_former(pool, to)
    with insync_lock.held(LOCK, f"lb.flip {pool}", wait=10):
        old, began = _left(pool, to, expect), time.monotonic()
        _all_well(pool, to, began)
        if not test:
            _switch(pool, to, expect)
        milliseconds = round((time.monotonic() - began) * 1000, 1)
        return {"changes": {pool: {"old": old, "new": to}}, "milliseconds": milliseconds}


@_told
def drift(wait=10):
    """
    Tell where HAProxy, its record on the disk and what the servers run do not agree. Nothing is mended.

    wait (float): for how many seconds it is looked at again; what is between two steps of a release agrees by then.

    Returns a list of str, empty if all agree. Servers that do not answer are not among it: ``lb.status`` tells those.

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.drift
    """
    deadline = time.monotonic() + wait
    while True:
        found = _disagreements()
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.5)


@_told
def watch(pool, slot, back, seconds=5, most=0.01):
    """
    Watch what a slot answers after a flip; if too much of it fails, let the former slot be asked again at once.

    pool, slot (str): what is watched. back (str): the former slot.
    seconds (float): for how long. most (float): the share of failed requests (5xx, no or a broken answer) that passes,
    beside what is usual in the former slot.

    Returns a dict: requests, failed. Raises CommandExecutionError after it went back, with the figures of each server.

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.watch web green blue seconds=5
    """
    for name in (slot, back):
        _slot(_known(pool), name)
    usual, before, deadline = _usual(pool, back), _counters(pool, slot), time.monotonic() + seconds
    while True:
        servers = _since(before, _counters(pool, slot))
        requests, failed = (sum(told[key] for told in servers.values()) for key in ("requests", "failed"))
        _expected(pool, slot)
        down = [host for host, said in _statuses(pool, slot).items() if not said.startswith("UP")]
        if down or (failed > 1 and failed > requests * (most + usual)):
            _ask(pool, back, slot)
            each = ", ".join(f"{host} {told['failed']} of {told['requests']}" for host, told in servers.items())
            why = f"{', '.join(down)} went down" if down else f"too many requests failed: {each}"
            raise CommandExecutionError(f"{pool}@{slot}: {why}; {back} is asked again")
        if time.monotonic() >= deadline:
            return {"requests": requests, "failed": failed}
        time.sleep(PAUSE)


@_told
def wait_idle(pool, slot, timeout=60):
    """
    Wait until nothing is in flight in a slot that is not asked any more.

    pool, slot (str): what is waited for. timeout (float): for how many seconds; more is no error.

    Returns a dict: waited_for (requests in flight at first), servers (server -> those on it), left (at last), seconds.
    After a reload, a former process of HAProxy counts as one as long as it may send more. Raises CommandExecutionError
    for the slot that is asked, or would be after another reload.

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.wait_idle web blue
    """
    _slot(_known(pool), slot)
    for entries in (insync_haproxy.entries(MAP), insync_haproxy.read(MAP)):
        if entries.get(pool, FIRST) == slot:
            raise CommandExecutionError(f"{pool}@{slot} is asked; it never gets idle")
    rows = _slots(pool, insync_haproxy.statistics())[slot]
    servers = {host: _in_flight({host: row}) for host, row in rows.items()}
    return {**_waited(lambda: _in_flight_in(pool, slot), timeout), "servers": servers}


@_told
def drain(host, timeout=60, by="", test=False):
    """
    Send a server no new requests, wait for those that it has, and keep it out until ``lb.undrain``.

    host (str): the server. timeout (float): for how many seconds to wait; what is left then ends by itself.
    by (str): who wants it.
    test (bool): only tell what would change.

    Returns a dict: changes, waited_for, left, seconds, as ``lb.wait_idle`` does. One that is out already is waited for
    too. Raises CommandExecutionError if nobody else would serve.

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.drain web02
    """
    backends = _backends(host)
    with insync_lock.held(LOCK, f"lb.drain {host}", wait=10):
        out = host in _maintenance() and not _taken(host, backends)
        changes = {} if out else {host: {"old": "in service", "new": "in maintenance"}}
        if not out:
            _not_the_last(host)
        if test:
            return {"changes": changes, "waited_for": 0, "left": 0, "seconds": 0.0}
        _take_out(host, backends, by)
    waited = _waited(lambda: _in_flight_on(host, backends), timeout)
    return {"changes": changes, **waited}


@_told
def undrain(host, timeout=30, test=False):
    """
    Send a server requests again, once HAProxy finds it well.

    host (str): the server. timeout (float): for how many seconds that may take.
    test (bool): only tell what would change.

    Returns a dict: changes, seconds. Raises CommandExecutionError if it is not well by then; HAProxy then takes it in
    as soon as it is.

    CLI Example:

    .. code-block:: bash

        salt web-lb02 lb.undrain web02
    """
    backends, began = _backends(host), time.monotonic()
    changes = {host: {"old": "in maintenance", "new": "in service"}} if host in _maintenance() else {}
    if test or not changes:
        return {"changes": changes, "seconds": 0.0}
    _looked_at(host, backends, began + timeout)
    with insync_lock.held(LOCK, f"lb.undrain {host}", wait=10):
        _all(backends, host, "ready")
        _record({name: told for name, told in _maintenance().items() if name != host})
    for pool, slot in _serving(host):
        _all_well(pool, slot, began + timeout, only=host)
    return {"changes": changes, "seconds": round(time.monotonic() - began, 2)}


def _disagreements():
    rows, runtime, file = insync_haproxy.statistics(), insync_haproxy.entries(MAP), insync_haproxy.read(MAP)
    found = []
    for pool in _pools():
        active, after = (entries.get(pool, FIRST) for entries in (runtime, file))
        if active != after:
            found.append(f"{pool}: {active} is asked, and {after} would be after HAProxy's next start, says {MAP}")
        releases = _releases(_slots(pool, rows)[active])
        if len(set(releases.values())) > 1:
            found.append(f"{pool} is mixed: {', '.join(f'{host} {release}' for host, release in releases.items())}")
    return found


def _releases(servers):
    """{server: release} of those that answer."""
    found = {}
    for host, row in servers.items():
        status, said = insync_http.get(f"http://{row['addr']}/healthz")
        if status == 200:
            found[host] = json.loads(said)["release"]
    return found


def _ask(pool, slot, old):
    with insync_lock.held(LOCK, f"lb.watch {pool}", wait=10):
        _switch(pool, slot, old)


def _switch(pool, slot, old):
    insync_haproxy.set_entry(MAP, pool, slot)
    try:
        insync_haproxy.write(MAP, pool, slot)
    except OSError:
        insync_haproxy.set_entry(MAP, pool, old)
        raise
    # A reload in between has read the old file.
    insync_haproxy.set_entry(MAP, pool, slot)


def _left(pool, to, expect):
    """The slot that a flip would leave, in HAProxy or only on the disk; ``to`` if that is asked already."""
    _expected(pool, expect)
    return expect if expect != to else insync_haproxy.read(MAP).get(pool, FIRST)


def _expected(pool, slot):
    active = insync_haproxy.entries(MAP).get(pool, FIRST)
    if active != slot:
        raise CommandExecutionError(f"{pool}: {active} is asked, not {slot} as expected; nothing was changed")


def _no_former(pool, to):
    """Wait until no process that a reload has left answers for another slot than ``to``."""
    deadline = time.monotonic() + FORMER
    while any(entries.get(pool, FIRST) != to for entries, _ in insync_haproxy.formers(MAP)):
        if time.monotonic() >= deadline:
            raise CommandExecutionError(f"{pool}: a process of HAProxy from before a reload does not end; see 'ps'")
        time.sleep(PAUSE)


def _pools():
    return __pillar__["haproxy"]["pools"]


def _known(pool):
    if pool not in _pools():
        raise SaltInvocationError(f"{pool}: no pool of this load balancer{insync_inventory.hint(pool, _pools())}")
    return pool


def _slot(pool, slot):
    known = _slots(pool, insync_haproxy.statistics())
    if slot not in known:
        raise SaltInvocationError(f"{pool} has no slot '{slot}'; its slots are {', '.join(known)}")


def _slots(pool, rows):
    """{slot: {server: its row of the statistics}}"""
    prefix = f"b_{pool}_"
    return {name.removeprefix(prefix): servers for name, servers in rows.items() if name.startswith(prefix)}


def _statuses(pool, slot):
    return {host: row["status"] for host, row in _slots(pool, insync_haproxy.statistics())[slot].items()}


def _all_well(pool, slot, deadline, only=None):
    while True:
        bad = {host: said for host, said in _statuses(pool, slot).items() if said != "UP" and only in (None, host)}
        if not bad:
            return
        if time.monotonic() >= deadline:
            told = ", ".join(f"{host} is {said}" for host, said in bad.items())
            raise CommandExecutionError(f"{pool}@{slot}: {told}")
        time.sleep(PAUSE)


def _in_flight(servers):
    return sum(int(row["scur"] or 0) for row in servers.values())


def _in_flight_in(pool, slot):
    """The requests in flight in a slot, and one for each former process that may send more."""
    count = _in_flight(_slots(pool, insync_haproxy.statistics())[slot])
    for entries, rows in insync_haproxy.formers(MAP):
        servers = _slots(pool, rows).get(slot, {})
        count += _in_flight(servers) + (entries.get(pool, FIRST) == slot and _may_be_asked(servers))
    return count


def _in_flight_on(host, backends):
    """The requests in flight on a server, and one for each former process that may send more."""
    count = _in_flight(_rows_of(host, backends, insync_haproxy.statistics()))
    for _, rows in insync_haproxy.formers(MAP):
        found = _rows_of(host, backends, rows)
        count += _in_flight(found) + _may_be_asked(found)
    return count


def _rows_of(host, backends, rows):
    return {backend: rows[backend][host] for backend in backends if host in rows.get(backend, {})}


def _may_be_asked(servers):
    return any(row["status"].startswith("UP") for row in servers.values())


def _waited(count, timeout):
    began, first, quiet = time.monotonic(), count(), 0
    left = first
    while quiet < 2 and time.monotonic() < began + timeout:
        left = count()
        quiet = 0 if left else quiet + 1
        time.sleep(PAUSE)
    return {"waited_for": first, "left": left, "seconds": round(time.monotonic() - began, 2)}


def _counters(pool, slot):
    rows = _slots(pool, insync_haproxy.statistics())[slot]
    return {host: {"requests": _sum(row, "stot"), "failed": _sum(row, *_FAILED)} for host, row in rows.items()}


_FAILED = ("hrsp_5xx", "econ", "eresp")


def _sum(row, *fields):
    return sum(int(row[field] or 0) for field in fields)


def _since(before, after):
    return {host: {key: after[host][key] - value for key, value in told.items()} for host, told in before.items()}


def _usual(pool, slot):
    """The share of requests that failed in ``slot`` since HAProxy was started."""
    told = _counters(pool, slot).values()
    requests = sum(one["requests"] for one in told)
    return sum(one["failed"] for one in told) / requests if requests else 0


def _backends(host):
    rows = insync_haproxy.statistics()
    known = {name for backend in rows.values() for name in backend}
    if not any(host in rows[backend] for backend in rows):
        raise SaltInvocationError(f"{host}: no server of this load balancer{insync_inventory.hint(host, known)}")
    return [backend for backend, servers in rows.items() if host in servers]


def _serving(host):
    """(pool, slot) that are asked, and have the server."""
    rows, runtime = insync_haproxy.statistics(), insync_haproxy.entries(MAP)
    active = [(pool, runtime.get(pool, FIRST)) for pool in _pools()]
    return [(pool, slot) for pool, slot in active if host in _slots(pool, rows)[slot]]


def _not_the_last(host):
    for pool, slot in _serving(host):
        well = [name for name, said in _statuses(pool, slot).items() if said.startswith("UP")]
        if well == [host]:
            raise CommandExecutionError(f"{host} is the last server of {pool} that is UP; nothing was done")


def _taken(host, backends):
    """Whether HAProxy would send it requests where it is well: neither drained nor in maintenance."""
    rows = _rows_of(host, backends, insync_haproxy.statistics())
    return any(row["status"].startswith("UP") for row in rows.values())


def _take_out(host, backends, by):
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    # The record first: a start of HAProxy right now does as it says.
    _record({host: {"since": since, "by": by}, **_maintenance()})
    _all(backends, host, "drain")


def _all(backends, host, state):
    for backend in backends:
        insync_haproxy.do(f"set server {backend}/{host} state {state}")


def _looked_at(host, backends, deadline):
    """
    Wait until HAProxy has looked at a server that it asks for nothing yet, where it will; the deadline is no error.

    What comes out of maintenance counts as up before anybody has looked.
    """
    with insync_lock.held(LOCK, f"lb.undrain {host}", wait=10):
        _all(backends, host, "drain")
    asked = [f"b_{pool}_{slot}" for pool, slot in _serving(host)]
    while time.monotonic() < deadline:
        if all(row["status"] == "DRAIN" for row in _rows_of(host, asked, insync_haproxy.statistics()).values()):
            return
        time.sleep(PAUSE)


def _maintenance():
    return json.loads(MAINTENANCE.read_text(encoding="utf-8")) if MAINTENANCE.exists() else {}


def _record(hosts):
    MAINTENANCE.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    insync_files.replace(MAINTENANCE, json.dumps(hosts, indent=2) + "\n")
