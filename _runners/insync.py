"""The operators' verbs that concern the fleet as a whole; they run on ct1."""

import concurrent.futures
import pathlib

import insync_check
import insync_enroll
import insync_inventory
import insync_lock
import insync_verb
import salt.client
import salt.config
import salt.utils.user
from salt.exceptions import CommandExecutionError

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)


def __virtual__():
    return __virtualname__


@_checked
def hosts():
    """
    Print the servers that the inventory declares.

    Returns a list of dict: server, region, private, public, roles, lifecycle, purpose.

    CLI Example:

    .. code-block:: bash

        salt-run insync.hosts
        salt-run insync.hosts --out=json
    """
    rows = []
    inventory = _inventory()
    for name, host in inventory["hosts"].items():
        rows.append(
            {
                "server": name,
                "region": host["region"]["name"] + ("?" if host["region"]["source"] == "guess" else ""),
                "private": host["private"],
                "public": host["public"],
                "roles": ",".join(insync_inventory.roles_of(inventory, name)),
                "lifecycle": host["lifecycle"],
                "purpose": host["purpose"],
            }
        )
    return {"data": rows, "outputter": "insync_table"}


@_checked
def order():
    """
    Print the order in which servers come up from nothing: each step needs only the steps before it.

    Returns a list of dict: step (int, from 1), servers (str, separated by commas as ``salt -L`` takes them).

    CLI Example:

    .. code-block:: bash

        salt-run insync.order
        salt -L beanstalkd,license01,license02 state.highstate
    """
    waves = insync_inventory.waves(_inventory())
    rows = [{"step": step, "servers": ",".join(wave)} for step, wave in enumerate(waves, 1)]
    return {"data": rows, "outputter": "insync_table"}


@_checked
def check():
    """
    Check the inventory, the operators and the secrets of the deployed checkout.

    Returns a str that says that all is well.
    Raises Refused with a line for each problem.

    CLI Example:

    .. code-block:: bash

        salt-run insync.check
    """
    problems = insync_check.problems(_checkout(), _site())
    if problems:
        raise Refused("\n".join(problems))
    return f"the inventory of {len(_inventory()['hosts'])} servers is in order"


@_checked
def ssh_config(user=None, known_hosts=None):
    """
    Print an ssh_config with which ``ssh web02`` works from anywhere.

    user (str): the operator's name on the servers; without it ssh takes the local one.
    known_hosts (str): path of the file that holds what ``insync.known_hosts`` prints.

    Returns a str; keep it as a file and name it in an ``Include`` line at the top of ~/.ssh/config.

    CLI Example:

    .. code-block:: bash

        salt-run insync.ssh_config user=alice known_hosts=~/.ssh/insync_known_hosts
    """
    return insync_inventory.ssh_config(_inventory(), user=user, known_hosts=known_hosts)


@_checked
def known_hosts():
    """
    Print the ssh host keys of all servers that answer, as the minions report them over their authenticated channel.

    Returns a str in the format of ~/.ssh/known_hosts; names are those of ``insync.ssh_config``.

    CLI Example:

    .. code-block:: bash

        salt-run insync.known_hosts >> ~/.ssh/known_hosts
    """
    client = salt.client.get_local_client(mopts=__opts__)
    answers = client.cmd("*", "ssh.host_keys", kwarg={"private": False, "certs": False})
    keys = {name: answer.get("ed25519.pub") for name, answer in answers.items() if isinstance(answer, dict)}
    return "\n".join(f"{name} {' '.join(key.split()[:2])}" for name, key in sorted(keys.items()) if key)


@_checked
def accept(host, fingerprint):
    """
    Accept the key of the minion ``host`` if it has this fingerprint, and no other; wait until it answers.

    host (str): a server of the inventory.
    fingerprint (str): SHA-256, as ``salt-call --local key.finger`` prints it on the server itself.

    Returns a str. Raises Refused if no key of that name comes within a minute, or another one.

    CLI Example:

    .. code-block:: bash

        salt-run insync.accept web02 3f:0a:...
    """
    _known(host)
    try:
        insync_enroll.accept(__opts__, host, fingerprint)
    except CommandExecutionError as exc:
        raise Refused(str(exc)) from exc
    client = salt.client.get_local_client(mopts=__opts__)
    _wait_for(client, [host])
    _sync(client, [host])
    return f"{host}: key {fingerprint} accepted"


@_checked
def sync(*names):
    """
    Give minions the modules and states of the deployed checkout; needed after each deploy.

    names (str): servers of the inventory; all if none is named.

    Returns a dict: server -> list of what is new there. Raises Refused that names the servers that did not answer.

    CLI Example:

    .. code-block:: bash

        salt-run insync.sync
        salt-run insync.sync web02
    """
    wanted = list(names) or list(_inventory()["hosts"])
    for name in wanted:
        _known(name)
    client = salt.client.get_local_client(mopts=__opts__)
    # The deploy may have restarted the master a moment ago; its minions come back one by one.
    there = insync_enroll.ready(client, __opts__, wanted)
    silent = [f"{name}: no answer; is it down, or its salt-minion?" for name in wanted if name not in there]
    try:
        new = _sync(client, [name for name in wanted if name in there]) if there else {}
    except Refused as exc:
        raise Refused("\n".join([*silent, str(exc)])) from exc
    if silent:
        raise Refused("\n".join([*silent, *["The others are in step with the checkout."] * bool(there)]))
    return new


def _sync(client, names):
    try:
        return insync_enroll.sync(client, _checkout(), names)
    except CommandExecutionError as exc:
        raise Refused(str(exc)) from exc


@_checked
def bootstrap(*names, parallel=4):
    """
    Make new servers minions: enter by ssh as root, install Salt, compare the key's fingerprint, accept it.

    names (str): servers of the inventory, or ``all``. One that answers already is left as it is.
    parallel (int): how many at the same time.

    The server must have ct1's key /etc/salt/bootstrap/id_ed25519.pub in root's authorized_keys, as a provider puts it
    there, and its ssh host key must be in /etc/salt/bootstrap/known_hosts, as the provider's console shows it.

    Returns a str that counts them. Raises Refused that names each server that failed, and why.

    CLI Example:

    .. code-block:: bash

        salt-run insync.bootstrap web02
        salt-run insync.bootstrap all
    """
    wanted = _wanted(names)
    client = salt.client.get_local_client(mopts=__opts__)
    new = [name for name in wanted if name not in insync_enroll.answering(client, __opts__, wanted)]
    results = _enroll(new, _number(parallel))
    failed = {name: str(result) for name, result in results.items() if isinstance(result, Exception)}
    if failed:
        raise Refused("\n".join(f"{name}: {reason}" for name, reason in failed.items()))
    _wait_for(client, new)
    return f"{len(new)} new minions; {len(wanted) - len(new)} were minions already"


def _number(parallel):
    if not str(parallel).isdigit() or int(parallel) < 1:
        raise Refused(f"parallel: '{parallel}' is not a number above 0")
    return int(parallel)


def _wait_for(client, names):
    silent = set(names) - insync_enroll.ready(client, __opts__, names)
    if silent:
        raise Refused(
            f"accepted, but no answer from {', '.join(sorted(silent))}; see 'journalctl -u salt-minion' there"
        )


def _enroll(names, parallel):
    enroll = insync_enroll.Enrolment(__opts__, _checkout(), names)
    lock = insync_enroll.alone("insync.bootstrap", salt.utils.user.get_specific_user())
    try:
        with lock, concurrent.futures.ThreadPoolExecutor(parallel) as pool:
            return dict(zip(names, pool.map(lambda name: _attempt(enroll, name), names), strict=True))
    except insync_lock.Held as exc:
        raise Refused(str(exc)) from exc


def _attempt(enroll, name):
    try:
        seconds = enroll.server(name)
    except (CommandExecutionError, OSError) as exc:
        print(f"{name}: failed", flush=True)
        return exc
    print(f"{name}: a minion, {seconds:.0f} s", flush=True)
    return f"became a minion in {seconds:.0f} s"


def _wanted(names):
    if not names:
        raise Refused("which servers? name them, or say 'all'")
    inventory = _inventory()
    if names == ("all",):
        return [name for name in inventory["hosts"] if "salt_master" not in insync_inventory.roles_of(inventory, name)]
    for name in names:
        _known(name)
    return list(names)


def _known(host):
    try:
        insync_inventory.roles_of(_inventory(), host)
    except insync_inventory.InventoryError as exc:
        raise Refused(str(exc)) from exc


def _inventory():
    return insync_inventory.load(_checkout() / "pillar" / "inventory")


def _checkout():
    return pathlib.Path(__opts__["pillar_roots"]["base"][0]).parent


def _site():
    return pathlib.Path(__opts__["pillar_roots"]["base"][-1])
