"""CPU-seconds of a highstate that changes nothing, per server, with our minion configuration and with Salt's defaults.

Usage: .venv/bin/python bench/highstate.py [ROUNDS]     (the fleet must be up and converged)

Both run on the same server one after the other, ROUNDS times, as `salt-call state.highstate` against the real
master; the figure is user + system time of salt-call and its children. On a shared machine the ratio counts.
"""

import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "_utils"))

import insync_inventory  # noqa: E402

# Salt's defaults, but for what the master insists on (signed messages) and where this minion's keys are.
DEFAULTS = """
rm -rf /root/bench && mkdir -p /root/bench/minion.d
cp /etc/salt/minion.d/*.conf /root/bench/minion.d/
grep -E '^(id|master|minion_sign_messages|encryption_algorithm|signing_algorithm|verify_master_pubkey_sign|log_file):' \
    /etc/salt/minion > /root/bench/minion
echo 'pki_dir: /etc/salt/pki/minion' >> /root/bench/minion
echo 'cachedir: /root/bench/cache' >> /root/bench/minion
"""
HIGHSTATE = "TIMEFORMAT='cpu %U %S'; time salt-call -c {config} --out=json -l quiet state.highstate"


def podman(server, script):
    """Run ``script`` in bash on ``server``; return what it printed, stdout and stderr."""
    argv = ["podman", "exec", f"insync-{server}", "bash", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def cpu_seconds(server, config):
    """Return the CPU-seconds of one highstate on ``server`` with the configuration folder ``config``."""
    out, err = podman(server, HIGHSTATE.format(config=config))
    if '"result": false' in out or '"result"' not in out:
        raise SystemExit(f"{server}: the highstate did not succeed: {out[-300:]}{err[-300:]}")
    times = err.rsplit("cpu ", 1)[1].split()
    return float(times[0]) + float(times[1])


def main(rounds=3):
    """Print a line per server and the medians over all servers."""
    inventory = insync_inventory.load(ROOT / "pillar" / "inventory")
    ratios, ours_all, default_all = [], [], []
    print(f"{'server':22} {'ours':>6} {'default':>8} {'ratio':>6}   CPU-seconds, median of {rounds}")
    for server in inventory["hosts"]:
        podman(server, DEFAULTS)
        cpu_seconds(server, "/root/bench")  # fills the cache of synced modules once
        pairs = [(cpu_seconds(server, "/etc/salt"), cpu_seconds(server, "/root/bench")) for _ in range(rounds)]
        podman(server, "rm -rf /root/bench")
        ours, default = (statistics.median(column) for column in zip(*pairs, strict=True))
        ours_all.append(ours)
        default_all.append(default)
        ratios.append(ours / default)
        print(f"{server:22} {ours:6.2f} {default:8.2f} {ratios[-1]:6.2f}", flush=True)
    medians = (statistics.median(ours_all), statistics.median(default_all), statistics.median(ratios))
    print(f"{'median':22} {medians[0]:6.2f} {medians[1]:8.2f} {medians[2]:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
