"""Restarts, updates and ways back of web under strict load: our verbs beside a rolling Ansible playbook, in turn.

Usage: .venv/bin/python bench/release.py [ROUNDS]     (the fleet must be up and converged)

The table goes to docs/release-benchmark.md. Both sides run on ct1 against the same servers, and are measured from the
command line's start to its end. Ansible comes from requirements/bench.txt and is gone from the servers afterwards.
"""

import contextlib
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "_utils")]

from bench.ansible_peer import Peer  # noqa: E402
from lab import podman  # noqa: E402
from tests.fleet import release  # noqa: E402
from tests.fleet.conftest import Fleet  # noqa: E402
from tests.fleet.load import load, reconciled  # noqa: E402

PAGE = ROOT / "docs" / "release-benchmark.md"
RATE = 100
OLD, NEW = ({"insync-web": version, "insync-core": version} for version in ("1.0.0", "1.1.0"))

# Prints the lowest share of servers that were up in the slot that was asked, until its input ends.
SHARE = """
import sys, threading, time
sys.path.insert(0, "/var/cache/salt/minion/extmods/utils")
import insync_haproxy
lowest, over = 1.0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
while not over.wait(0.1):
    slot = insync_haproxy.entries("/etc/haproxy/active.map").get("web", "blue")
    servers = insync_haproxy.statistics()[f"b_web_{slot}"].values()
    lowest = min(lowest, sum(row["status"].startswith("UP") for row in servers) / len(servers))
print(lowest)
"""


def pins(packages):
    """Return the words (list of str) for ``packages`` (dict)."""
    return [f"{name}=={version}" for name, version in packages.items()]


@contextlib.contextmanager
def lowest_share(found):
    """Put the lowest share of servers that were up while the block ran into ``found`` (list)."""
    argv = podman.inside(release.LB, "/opt/salt/bin/python", "-c", SHARE)
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        said, _ = process.communicate(timeout=30)
        found.append(float(said))


# The seconds are ct1's own: how an operator of the lab gets there is no part of it.
TIMED = 'began=$(date +%s.%N); "$@"; code=$?; echo "$began $(date +%s.%N)" >&2; exit $code'


def taken(fleet, *command):
    """Run ``command`` (str) on ct1; return (what subprocess.run returns, when it began, seconds)."""
    done = fleet.run("ct1", "sh", "-c", TIMED, "sh", *command, timeout=600)
    began, ended = map(float, done.stderr.splitlines()[-1].split())
    return done, began, ended - began


def measured(fleet, command, good=(0,)):
    """Run ``command`` (list of str) on ct1 under load; return its figures (dict)."""
    share = []
    with lowest_share(share), load(fleet, rate=RATE) as running:
        time.sleep(10)
        running.mark("during")
        done, began, seconds = taken(fleet, *command)
        running.mark("after")
        time.sleep(1)
    if done.returncode not in good:
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    report = running.report
    print(f"{' '.join(command)[:100]}: {seconds:.1f} s, {report}", flush=True)
    return {
        "seconds": seconds,
        "unwatched": seconds - (_watch(fleet) if command[0] == "salt-run" else 0),
        "requests": report.sent,
        "failed": report.failed_count,
        "amiss": sum(map(len, reconciled(fleet, report).values())),
        "stale": report.stale,
        "share": share[0],
        "before": report.windows[0],
        "during": report.window("during"),
        "whole": report.switches[-1]["at"] - began if report.switches else seconds,
    }


def _watch(fleet):
    """The seconds that the last of our runs watched for."""
    return json.loads(fleet.ok("ct1", "cat", release.JOURNAL))["phases"].get("watch", 0)


def verb(*words):
    """Return the command line of one of our verbs."""
    return ["salt-run", *words]


def ours(fleet):
    """Return {what: figures} of our side; what an earlier round has built is gone, as the peer installs anew too."""
    keep = release.active(fleet)[1]
    for server in release.POOL:
        fleet.ok(server, "sh", "-c", f"cd /insync/venv && ls -d web-*/ | grep -v {keep} | xargs -r rm -r")
    return {
        "restart": measured(fleet, verb("insync.restart_web")),
        "update": measured(fleet, verb("insync.update_in_web", *pins(NEW))),
        "back": measured(fleet, verb("insync.rollback_web")),
    }


def theirs(fleet, peer):
    """Return {what: figures} of the peer's side."""
    with peer.serving(release.active(fleet)[0]):
        well(fleet)
        found = {
            "restart": measured(fleet, peer.command()),
            "update": measured(fleet, peer.command(pins(NEW))),
            "back": measured(fleet, peer.command(pins(OLD))),
            "naive": measured(fleet, peer.naive()),
        }
    well(fleet)
    return found


def well(fleet):
    """Wait until all servers of web are up."""

    def balancer():
        return set(release.ran(fleet, "insync.release_status", "web")["web"]["balancer"].values())

    fleet.eventually(lambda: balancer() == {"UP"})


# What `salt` does with its own defaults; ours are longer.
PING = """
import salt.client, salt.config
opts = {**salt.config.client_config("/etc/salt/master"), "timeout": 5, "gather_job_timeout": 10}
found = salt.client.LocalClient(mopts=opts).cmd("web*", "test.ping")
print("no answer:", [server for server in ("web-lb02", "web02") if found.get(server) is not True])
"""


def silent(fleet):
    """Return (seconds until our verb names a server whose minion is frozen, until a ping with Salt's defaults does)."""
    fleet.ok("web02", "systemctl", "kill", "--signal=STOP", "salt-minion")
    try:
        commands = (verb("insync.restart_web"), ["/opt/salt/bin/python", "-c", PING])
        return tuple(timed(fleet, *command) for command in commands)
    finally:
        fleet.ok("web02", "systemctl", "kill", "--signal=CONT", "salt-minion")
        fleet.answers("web02")


def timed(fleet, *command):
    """Return the seconds that ``command`` takes on ct1; it has to name web02."""
    done, _, seconds = taken(fleet, *command)
    if "web02" not in done.stdout:
        raise SystemExit(f"{command} does not name web02: {done.stdout}{done.stderr}")
    return seconds


def flips(fleet):
    """Return the milliseconds (list of float) that the last flips took at the load balancer."""
    lines = fleet.ok("ct1", "tail", "-n", "20", "/var/lib/insync/web/history.jsonl").splitlines()
    return [record["flip_milliseconds"] for record in map(json.loads, lines) if "flip_milliseconds" in record]


def main(rounds=5):
    """Run all rounds, print the table, and write it to its page."""
    fleet, peer, found = Fleet(), Peer(), []
    try:
        peer.install()
        peer.build(pins(OLD))
        for number in range(rounds):
            found.append({"theirs": theirs(fleet, peer), "ours": ours(fleet), "silent": silent(fleet)})
            print(f"round {number + 1} of {rounds}: {found[-1]}", flush=True)
    finally:
        peer.remove()
    page = _page(found, statistics.median(flips(fleet)))
    PAGE.write_text(page, encoding="utf-8")
    print(page)


HEAD = """# Releases, beside Ansible

`bench/release.py {rounds}` wrote this on {day}: medians (and range) of {rounds} rounds in which both took turns on
the same two servers, under strict load of {rate} requests a second from outside, with 2-second requests always in
flight. The peer is [a rolling playbook](../bench/ansible/rolling.yml): one server after the other, drained at HAProxy,
installed into in place by pip, restarted; with pipelining and kept connections. Seconds are those of one machine that
the whole fleet shares; the ratios are what counts.

| measure | Ansible | Insync's verbs | ratio |
|---|---|---|---|
"""
MOVES = ("restart", "update", "back")


def _page(found, flip):
    naive = [one["theirs"].pop("naive") for one in found]
    dead = [statistics.median(one["silent"][side] for one in found) for side in (1, 0)]
    rows = [
        _both(
            found,
            "failed requests, of how many",
            lambda all_of: f"{_sum(all_of, 'failed')} of {_sum(all_of, 'requests')}",
        ),
        ["the same, of a restart of all at once", f"{_sum(naive, 'failed')} of {_sum(naive, 'requests')}", "", ""],
        _both(found, "POSTs lost, doubled, or done though refused", lambda all_of: _sum(all_of, "amiss")),
        _both(found, "answers of the former release after the first of the new", lambda all_of: _sum(all_of, "stale")),
        _both(found, "lowest share of servers that serve", lambda all_of: f"{min(one['share'] for one in all_of):.0%}"),
        _wall(found, "restart of the pool, seconds", "restart"),
        _wall(found, "update of two packages, seconds", "update"),
        _wall(found, "the same without the watch, which the playbook has not", "update", "unwatched"),
        _wall(found, "the same, until only the new release answers", "update", "whole"),
        _wall(found, "back to the former release, seconds", "back"),
        _wall(found, "the same, until only the former release answers", "back", "whole"),
        ["of these at the load balancer, milliseconds", "", f"{flip:.1f}", ""],
        _both(found, "p99.9 of all rounds, before, ms", lambda all_of: f"{_slow(all_of, 'before'):.0f}"),
        _both(found, "p99.9 of all rounds, meanwhile, ms", lambda all_of: f"{_slow(all_of, 'during'):.0f}"),
        _both(
            found,
            "p99.9 meanwhile, over p99.9 before",
            lambda all_of: f"{_slow(all_of, 'during') / _slow(all_of, 'before'):.2f}",
        ),
        [
            "a frozen minion is named, seconds (left: by `salt`)",
            *(f"{one:.1f}" for one in dead),
            f"{dead[1] / dead[0]:.2f}",
        ],
    ]
    day = datetime.datetime.now(datetime.UTC).date()
    lines = ["| " + " | ".join(map(str, row)) + " |\n" for row in rows]
    return HEAD.format(rounds=len(found), day=day, rate=RATE) + "".join(lines)


def _both(found, name, tell):
    return [name, *(tell([one[side][what] for one in found for what in MOVES]) for side in ("theirs", "ours")), ""]


def _wall(found, name, what, key="seconds"):
    sides = [sorted(one[side][what][key] for one in found) for side in ("theirs", "ours")]
    middles = [statistics.median(values) for values in sides]
    told = [
        f"{middle:.1f} ({values[0]:.1f} to {values[-1]:.1f})" for middle, values in zip(middles, sides, strict=True)
    ]
    return [name, *told, f"{middles[1] / middles[0]:.2f}"]


def _slow(figures, window):
    """The p99.9 of the requests of all ``figures`` in a window, in milliseconds; one run has too few for it."""
    slowest = sorted((ms for one in figures for ms in one[window]["slowest_ms"]), reverse=True)
    return slowest[sum(one[window]["ms"]["count"] for one in figures) // 1000]


def _sum(figures, key):
    return sum(one[key] for one in figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
