"""The tables of bench/database.py."""

import statistics

HEAD = """# Backups of the database, beside dumps

`bench/database.py {words}` wrote this on {day}: medians (and range) of {rounds} rounds in which everybody had a turn
on the replica, whose MariaDB has {size:.0f} MB of data and indexes. Ratios are of two sides in the same round. The two
processors are shared with the whole fleet; the ratios are what counts.

- CPU is what the cgroup of the server's container counts, from before to after: the programs and MariaDB. With nothing
  to do it counts {resting:.2f} CPU seconds a second. What the store and ct1 take is not in it.
- ours: `insync.backup`, from the command on ct1 to its end: every row is counted and summed up for the manifest, the
  copy is compressed, encrypted, and put into the lab's S3. Restored is as `insync.backup_restore` does, with its own
  functions, into a folder of its own: fetched, decrypted, unpacked, prepared, until a server serves it. Compared: until
  every table is checked and every row compared with the manifest too, without which the verb puts nothing in place.
  Verified is by `insync.backup_verify` on another server, which does all that, and replays the binary logs.
- automysqlbackup: Debian's package with Debian's settings, which are dumps by gzip; restored by `zcat | mariadb`.
- mariadb-dump, zstd: `--single-transaction`, `zstd -3`; restored by `zstd -d | mariadb`.
- mydumper: Debian's, 2 threads, compressed; restored by myloader, 2 threads.

Dumps stay on the server's disk, neither encrypted nor compared with anything. They are restored into a blank MariaDB
that runs already, has the server's settings, and writes no binary log.

## Backup and restore

| | {names} |
|---|{lines}|
"""
OURS, DUMPS = "ours", ("automysqlbackup", "mariadb-dump, zstd")
WANTED = """
## Wanted, and reached

| | wanted | reached | |
|---|---|---|---|
"""
FASTER, VERIFY, COMMITS = 8, 2, 0.6
MEASURES = [
    ("backup, seconds", "backup", "seconds"),
    ("backup, CPU seconds", "backup", "cpu"),
    ("restore, seconds", "restore", "seconds"),
    ("restore, CPU seconds", "restore", "cpu"),
    ("restore and compare, seconds", "compared", "seconds"),
    ("restore and compare, CPU seconds", "compared", "cpu"),
    ("verification on another server, seconds", "verify", "seconds"),
    ("verification on another server, CPU seconds", "verify", "cpu"),
]


def page(found, commits, size, resting, day, words):
    """
    Return the page (str).

    found (list of {who: figures}), commits (list of {"on", "off": commits a second}): of each round. size (int): bytes
    of data. resting (float): CPU seconds a second of a server at rest. words (list): with which it was called.
    """
    names = sorted(found[0], key=lambda one: (one != OURS, list(found[0]).index(one)))
    head = {"names": " | ".join(names), "lines": "|".join(["---"] * len(names)), "rounds": len(found), "day": day}
    head |= {"words": " ".join(map(str, words)), "size": size / 10**6, "resting": resting}
    rows = [[name, *(_told(_values(found, who, what, key)) for who in names)] for name, what, key in MEASURES]
    rows.insert(2, ["size, MB", *(f"{statistics.median(one[who]['megabytes'] for one in found):.0f}" for who in names)])
    for what, name in (("restore", "restore, over ours"), ("compared", "restore, over ours with comparison")):
        rows.append([name, "", *(_told(_over_ours(found, who, what)) + "x" for who in names[1:])])
    return HEAD.format(**head) + _table(rows) + WANTED + _table(_wanted(found, commits))


def _wanted(found, commits):
    verify = [one[OURS]["verify"]["cpu"] / one[OURS]["backup"]["cpu"] for one in found]
    kept = [one["on"] / one["off"] for one in commits]
    restores = [
        [f"restore: {who}, over ours{more}", f"at least {FASTER}x", _over_ours(found, who, what), FASTER]
        for what, more in (("restore", ""), ("compared", " with comparison"))
        for who in DUMPS
    ]
    rows = [[name, wanted, f"{_told(values)}x", _judged(values, least)] for name, wanted, values, least in restores]
    on, off = (_told([one[how] for one in commits], 0) for how in ("on", "off"))
    turns = f"commits a second of 8 writers, in {len(commits)} turns"
    return [
        *rows,
        ["CPU of a verification, over CPU of the backup", f"at most {VERIFY}x", f"{_told(verify, 2)}x",
         "reached" if statistics.median(verify) <= VERIFY else "**not reached**"],
        [f"{turns}: semi-synchronous {on}, over asynchronous {off}",
         f"at least {COMMITS}x", f"{_told(kept, 2)}x", _judged(kept, COMMITS)],
    ]  # fmt: skip


def _judged(values, least):
    return "reached" if statistics.median(values) >= least else "**not reached**"


def _values(found, who, what, key):
    return [one[who][what][key] for one in found if what in one[who]]


def _over_ours(found, who, what):
    return [one[who]["restore"]["seconds"] / one[OURS][what]["seconds"] for one in found]


def _told(values, digits=1):
    if not values:
        return ""
    low, middle, high = (f"{one:.{digits}f}" for one in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def _table(rows):
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)
