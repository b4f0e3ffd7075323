"""A release of packages for apt and yum: our verbs beside what is used for it elsewhere, at one store that is far away.

Usage: .venv/bin/python bench/repositories.py [ROUNDS] [--small]     (the lab must be up; --small only tries it out)

The table goes to docs/repository-benchmark.md. Everybody publishes to buckets of their own (insync_bench_*, removed at
the end) at the lab's radosgw, over a proxy that adds 30 ms to each round trip and counts requests (bench/far.py). In
each round everybody has a turn. The peers are what Debian has, to be installed once by

    apt-get install --no-install-recommends aptly reprepro rclone

and the AWS command line, which is installed here from requirements/bench.txt into a virtualenv in the lab's cache.
"""

import datetime
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "_utils")]

from bench.far import Way  # noqa: E402
from bench.repository_copies import Local, Sync  # noqa: E402
from bench.repository_ground import Ground  # noqa: E402
from bench.repository_page import page  # noqa: E402
from bench.repository_release import Full, One  # noqa: E402
from lab.paths import CACHE  # noqa: E402

PAGE = ROOT / "docs" / "repository-benchmark.md"
LOCK = ROOT / "requirements" / "bench.txt"
PROGRAMS = {"aptly": "aptly", "reprepro": "reprepro", "rclone": "rclone"}


def aws():
    """Return the AWS command line (pathlib.Path), installed if need be; raise SystemExit if another peer is missing."""
    missing = [package for package, program in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        raise SystemExit(f"run: apt-get install --no-install-recommends {' '.join(missing)}")
    venv = CACHE / f"bench-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not (venv / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--requirement", LOCK], check=True)
        (venv / "complete").touch()
    return venv / "bin" / "aws"


def rounds(folder, count, small):
    """Return ([{task: {who: figures}} of each round], the seconds that ``aws --version`` takes)."""
    found, started = [], []
    with Way() as way:
        ground = Ground(folder, way, aws(), small)
        try:
            began = time.monotonic()
            tasks = [One(ground), Full(ground), Sync(ground), *(Local(ground, size) for size in (10, 1000))]
            print(f"prepared in {time.monotonic() - began:.0f} s", flush=True)
            for number in range(1, count + 1):
                print(f"round {number} of {count}", flush=True)
                found.append({name: sides for task in tasks for name, sides in task.round(number).items()})
                started.append(ground.measured("aws --version", ground.aws.version)["seconds"])
        finally:
            ground.close()
    return found, statistics.median(started)


def main(count=5, small=False):
    """Run all rounds, print the table, and write it to its page."""
    # This machine's way out does not lead to itself.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    # The name is short: it has the sockets of gpg's agents.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    try:
        found, started = rounds(folder, count, small)
    finally:
        shutil.rmtree(folder)
    text = page(found, started, datetime.datetime.now(datetime.UTC).date())
    if not small:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    numbers = [word for word in sys.argv[1:] if word.isdecimal()]
    main(*map(int, numbers[:1]), small="--small" in sys.argv)
