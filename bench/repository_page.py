"""The table of bench/repositories.py."""

import statistics

HEAD = """# Releases of packages, beside aptly, reprepro and aws s3 sync

`bench/repositories.py {rounds}` wrote this on {day}: medians (and range) of {rounds} rounds in which everybody had a
turn, in seconds, at the lab's radosgw over a proxy that adds 30 ms to each round trip (a new connection takes one too)
and counts the requests. Packages are stand-ins of 20 kB. The two processors are shared with the whole fleet; the ratios
are what counts.

- ours: one process that has its libraries loaded, but opens the store anew each time. What our verb does and no peer
  does, to let the real apt or dnf read the new index before it is published, is not in it, but in the lines "with
  checks by clients".
- ours, cold: the same with these checks, in a process that starts for it.
- aptly: `repo add` and `publish update`, for the full release `snapshot create` and `publish switch` for each suite;
  with by-hash, without Contents, bzip2 and cleaning. It has no yum, so that beside it stands our apt alone.
- reprepro, for yum rpmsign and createrepo_c, and then `aws s3 sync` for each bucket. reprepro has no by-hash, and only
  one version of each package. Of what aws takes each time, {started:.2f} s are its start (`aws --version`).
- rclone: `copy --checksum --fast-list`, and without a HEAD for each object that was put.

| measure | peer | ours | ratio | wanted | requests: peer, ours (wanted) |
|---|---|---|---|---|---|
"""

# Measure, task, peer, ours, how many times faster is wanted, how many requests at most.
ROWS = [
    ("one package into a suite of 100, to S3: aptly", "one", "aptly", "ours", 25, 8),
    ("the same: aptly with by-hash, else as it comes", "one", "plain", "ours", 25, 8),
    ("the same: reprepro + aws s3 sync", "one", "reprepro", "ours", 12, 8),
    ("full release, 24 suites: aptly", "full", "aptly", "ours apt", 30, None),
    ("the same and 6 yum releases: reprepro, createrepo_c + aws s3 sync", "full", "trees", "ours", 8, None),
    ("sync of 2,000 objects, unchanged: aws s3 sync", "same", "aws", "ours", 12, 2),
    ("the same: rclone", "same", "rclone", "ours", 4, 2),
    ("sync of 2,000 objects, 5 and their index changed: aws s3 sync", "changed", "aws", "ours", 8, 8),
    ("the same: rclone", "changed", "rclone", "ours", 3, 8),
    ("local add at 1,000 packages: reprepro (no by-hash)", "local1000", "reprepro", "ours", 1, None),
    ("the same: aptly", "local1000", "aptly", "ours", 3, None),
    ("the same: apt-ftparchive of all", "local1000", "rescan", "ours", 5, None),
    ("local add at 10 packages: reprepro (no by-hash)", "local10", "reprepro", "ours", None, None),
    ("rollback of the full release, 24 suites: aptly", "back", "aptly", "apt", 20, None),
]
WHOLE = [("one package", "one"), ("full release", "full"), ("local add at 1,000", "local1000")]


def page(found, started, day):
    """
    Return the page (str).

    found (list of {task: {who: figures}}): of each round. started (float): seconds of ``aws --version``.
    """
    rows = [_compared(found, *row) for row in ROWS]
    growth = [_middle(found, size, "ours", "seconds") for size in ("local1000", "local10")]
    rows.append(["local add: 1,000 packages over 10", "", f"{growth[0] / growth[1]:.1f}", "", "at most 2", ""])
    rows.append(["rollback with yum too", "", _seconds(found, "back", "ours"), "", "", _sent(found, "back", "ours")])
    uploads = sum(one["back"]["ours"]["packages"] for one in found)
    rows.append(["packages uploaded by all rollbacks", "", f"{uploads}", "", "0", ""])
    for name, task in WHOLE:
        rows.append([f"{name}, with checks by clients", "", _seconds(found, task, "ours", "whole"), "", "", ""])
    for name, task in [*WHOLE, ("sync unchanged", "same"), ("sync of 5 changed", "changed")]:
        rows.append([f"{name}, cold", "", _seconds(found, task, "cold"), "", "", _sent(found, task, "cold")])
    lines = ["| " + " | ".join(row) + " |\n" for row in rows]
    return HEAD.format(rounds=len(found), day=day, started=started) + "".join(lines)


def _compared(found, name, task, peer, ours, ratio, requests):
    middles = [_middle(found, task, who, "seconds") for who in (peer, ours)]
    sent = [_sent(found, task, who) for who in (peer, ours)]
    told = ", ".join(sent) if sent[0] != "0" else ""
    return [
        name,
        _seconds(found, task, peer),
        _seconds(found, task, ours),
        f"{middles[0] / middles[1]:.1f}x",
        f"{ratio}x" if ratio else "",
        f"{told} ({requests})" if requests else told,
    ]


def _middle(found, task, who, what):
    return statistics.median(one[task][who][what] for one in found)


def _seconds(found, task, who, what="seconds"):
    values = sorted(one[task][who][what] for one in found)
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def _sent(found, task, who):
    return f"{_middle(found, task, who, 'requests'):.0f}"
