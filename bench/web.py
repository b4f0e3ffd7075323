"""Requests per second and latency of the site through the load balancer, and seconds from a sign-up to its mail.

Usage: .venv/bin/python bench/web.py [ROUNDS]     (the fleet must be up and converged)

wrk runs in insync-world and comes in by the public TLS address, as a browser does. A round asks the site, then
HAProxy's own redirect, which no backend sees: on a shared machine their ratio is the figure that counts.
"""

import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "_utils")]

from tests.fleet import web  # noqa: E402
from tests.fleet.conftest import Fleet  # noqa: E402

SECONDS = 10
CONNECTIONS = 16
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def load(url):
    """Return (requests per second, p50 ms, p99 ms) of wrk against ``url``; a failed request ends the benchmark."""
    command = [
        "wrk",
        "--latency",
        "--threads",
        "2",
        "--connections",
        str(CONNECTIONS),
        "--duration",
        f"{SECONDS}s",
        url,
    ]
    argv = ["podman", "exec", "insync-world", *command]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    if "Socket errors" in said or ("Non-2xx" in said and url.startswith("https")):
        raise SystemExit(f"{url}: not every request was answered with success\n{said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return rate, *(_milliseconds(said, percent) for percent in ("50%", "99%"))


def _milliseconds(said, percent):
    value, unit = re.search(rf"{percent}\s+([\d.]+)(us|ms|s)", said).groups()
    return float(value) * UNITS[unit]


def seconds_to_mail(fleet):
    """Return the seconds from a sign-up to its mail at the relay."""
    recipient, begun = web.address("bench"), time.monotonic()
    status, answer = web.sign_up(fleet, recipient)
    if status != 201:
        raise SystemExit(f"sign-up: {status}: {answer}")
    while not web.mails_to(fleet, recipient):
        if time.monotonic() - begun > 60:
            raise SystemExit(f"no mail to {recipient} within a minute")
        time.sleep(0.1)
    return time.monotonic() - begun


def main(rounds=5):
    """Print the medians over the rounds, and each round."""
    fleet = Fleet()
    # With the port: insync-world has no list of services, by which wrk would look it up.
    name = web.SITE.removeprefix("https://")
    urls = {"/": f"https://{name}:443/", "/version": f"https://{name}:443/version", "redirect": f"http://{name}:80/"}
    found = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            found[name].append(load(url))
    print(
        f"{'what':10} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8}"
        f"   medians of {rounds} rounds of {SECONDS} s, {CONNECTIONS} connections"
    )
    for name, rows in found.items():
        rate, half, most = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:10} {rate:8.0f} {half:8.1f} {most:8.1f}   {', '.join(f'{row[0]:.0f}' for row in rows)}")
    mails = [seconds_to_mail(fleet) for _ in range(rounds * 2)]
    print(f"sign-up to mail: median {statistics.median(mails):.2f} s, longest {max(mails):.2f} s, of {len(mails)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
