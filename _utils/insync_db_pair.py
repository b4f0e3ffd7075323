"""The servers that a switch of the primary concerns, and what each says before it: whether it may be."""

import dataclasses

import insync_inventory
import insync_jobs
from insync_inventory import PRIMARY, REPLICA

SERVICE, CONF, WEB = "mysql", "conf_server", "web"
# On a replica that is further behind a switch would keep everybody waiting.
BEHIND = 10


class Refused(ValueError):
    """Nothing was changed; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """The databases of one environment, and those who have to know which of them is the primary."""

    environment: str
    primary: str
    replicas: tuple
    clients: tuple
    conf: tuple
    web: tuple
    # Those that nobody may reach, since a switch that they know nothing of.
    fenced: tuple
    # Where the primary answers its clients.
    address: str = ""
    port: int = 0

    @property
    def servers(self):
        """All databases (list of str), the primary first."""
        return [self.primary, *self.replicas]


def pair_of(inventory, server):
    """Return the Pair that ``server`` (str) is one of. Raises Refused if it is no database of a pair."""
    hosts = inventory["hosts"]
    if server not in hosts:
        raise Refused(f"there is no server '{server}'{insync_inventory.hint(server, hosts)}; nothing was done")
    environment = insync_inventory.environment_of(inventory, server)
    own = [name for name in hosts if insync_inventory.environment_of(inventory, name) == environment]
    primaries, replicas = ([name for name in own if role in hosts[name]["roles"]] for role in (PRIMARY, REPLICA))
    if server not in [*primaries, *replicas]:
        known = [name for name in hosts if REPLICA in hosts[name]["roles"]]
        raise Refused(f"{server} has no database of a pair{insync_inventory.hint(server, known)}; nothing was done")
    if len(primaries) != 1 or not replicas:
        raise Refused(f"{environment} has {len(primaries)} primaries and {len(replicas)} replicas; nothing was done")
    flows = insync_inventory.flows(inventory)
    clients = [name for name, at, service in flows if (at, service) == (primaries[0], SERVICE)]
    seen = insync_inventory.seen_from(inventory, environment)
    return Pair(
        environment,
        primaries[0],
        tuple(replicas),
        tuple(sorted(set(clients) - {*primaries, *replicas})),
        tuple(insync_inventory.hosts_with(seen, CONF)),
        tuple(name for name in own if WEB in hosts[name]["roles"]),
        tuple(name for name in own if hosts[name].get("fenced")),
        hosts[primaries[0]]["private"],
        inventory["services"][SERVICE]["port"],
    )


def status(jobs, server):
    """
    Return what insync.db_status of ``server`` (str) says (dict), or why it does not (str).

    jobs (insync_jobs.Jobs).
    """
    try:
        return jobs.look([server], "insync.db_status")[server]
    except insync_jobs.JobError as exc:
        return exc.failed[server]


def replica(found, server, source, restored=False):
    """
    Raise Refused unless ``server`` (str) replicates ``source`` (str), and has not diverged.

    found (dict or str): its status, as ``status`` returns it. restored (bool): one that has just been restored from a
    backup, and replicates nobody yet, is good too.
    """
    if not isinstance(found, dict):
        raise Refused(f"{server}: {found}; nothing was done")
    if found["writable"]:
        reason = f"{server} is open for writes, and {source} is the declared primary: nobody knows which has what"
        raise Refused(f"{reason}; nothing was done. Close the wrong one: 'salt SERVER insync_db.close by-hand'")
    if found["fenced"]:
        raise Refused(
            f"{server} is fenced; nothing was done. 'salt-run insync.rejoin_db {server}' lets it follow again"
        )
    replication = found["replication"]
    if restored and not replication and (found["seed"] or {}).get("kind") == "backup":
        return
    if not replication or replication["source"].split(".")[0] != source:
        raise Refused(f"{server} is no replica of {source}; nothing was done. See 'salt-run insync.rejoin_db {server}'")
    if replication["applier"] != "Yes" and replication["error"]:
        raise Refused(f"{server} has diverged from {source}: {replication['error']}; nothing was done")


def in_step(found, pair, to):
    """
    Raise Refused unless nothing can be lost by a switch to the replica ``to`` (str).

    found (dict: server -> status, as ``status`` returns it, of the primary and of it). pair (Pair).
    """
    old = found[pair.primary]
    if not isinstance(old, dict):
        reason = f"the primary does not answer: {pair.primary}: {old}"
        raise Refused(f"{reason}; nothing was done. 'salt-run insync.failover_db {to}' does without it")
    replica(found[to], to, pair.primary)
    new = found[to]
    if not old["writable"]:
        why = "fenced" if old["fenced"] else "closed for writes"
        raise Refused(f"{pair.primary} is {why}; nothing was done. 'salt {pair.primary} insync.db_status' tells more")
    for thread in ("receiver", "applier"):
        if new["replication"][thread] != "Yes":
            why = new["replication"]["error"] or "it was stopped"
            raise Refused(f"{to}: the {thread} does not run: {why}; nothing was done")
    if not old["semi_sync"]["on"] or not new["replication"]["semi_sync"]:
        raise Refused(f"semi-synchronous replication is off: {to} may lack what was answered; nothing was done")
    beat = new["heartbeat"]
    if not beat or beat["age"] > BEHIND:
        late = f"{beat['age']:.0f} s" if beat else "an unknown time"
        raise Refused(f"{to} is {late} behind {pair.primary}, and {BEHIND} s are allowed; nothing was done")


def evidence(found, primary):
    """
    Return what tells whether something that was answered may be lost with the primary (dict).

    found (dict): status of the replica when the switch began. primary (str).
    acknowledged_loss: none, or possible; why (str): the reason.

    While semi-synchronous replication was on at the last heartbeat, and that is younger than the time for which the
    primary waits, it cannot have gone on alone, whatever has become of it; ``unreached`` tells of the time after.
    """
    # Both have one configuration: so long the primary waits for its replica before it goes on alone.
    beat, window = found["heartbeat"], found["semi_sync"]["timeout_ms"] / 1000
    if not found["replication"]:
        return _possible(f"its data is that of the backup {found['seed']['from']}")
    if not beat or beat["server"] != primary:
        return _possible(f"there is no heartbeat of {primary}")
    told = f"the last heartbeat of {primary} came {beat['age']:.1f} s ago"
    if not beat["semi_sync"]:
        return _possible(f"semi-synchronous replication was off: {told} and said so")
    if beat["age"] < -1:
        return _possible(f"the clocks of {primary} and its replica differ by {-beat['age']:.0f} s or more")
    if found["uptime"] < beat["age"]:
        return _possible(f"the replica was started anew since, and may have lost what it had confirmed: {told}")
    if beat["age"] > window:
        return _possible(f"{told}, and after {window:.0f} s without a replica it goes on alone")
    why = f"semi-synchronous replication was on: {told} and said so, and for {window:.0f} s it waits for its replica"
    return {"acknowledged_loss": "none", "why": why}


def unreached(loss, reaching, silent, primary):
    """
    Return ``loss`` (dict, of ``evidence``) in the light of the primary's clients: only they are answered.

    reaching, silent (lists of str): those whom ``primary`` (str) still answers, and those of whom that is not known.
    """
    why = [f"{', '.join(reaching)}: {primary} still answers there, and may go on alone"] if reaching else []
    why += [f"{', '.join(silent)}: no answer, so nobody can keep it from writing to {primary}"] if silent else []
    return {"acknowledged_loss": "possible", "why": "; ".join([*why, loss["why"]])} if why else loss


def _possible(why):
    return {"acknowledged_loss": "possible", "why": why}
