"""The servers on which bench/database.py measures: commands there, their CPU, the data, and a MariaDB beside theirs."""

import contextlib
import functools
import pathlib
import subprocess
import time

from lab import podman
from lab.paths import PREFIX

# On the server with the data; only the processes of MariaDB have to pass through.
FOLDER = "/var/lib/insync-bench"
SCRATCH = f"{FOLDER}/scratch"
SOCKET = f"{SCRATCH}/socket"
DATABASE = "lab_bench"
TABLES, BYTES, AT_ONCE = 4, 262, 100_000
# What customers' files look like in a database: paths that repeat, names, and checksums that nothing makes smaller.
ROWS = """
USE {database}; SET sql_log_bin = 0;
CREATE TABLE IF NOT EXISTS files{table} (
  id INT UNSIGNED PRIMARY KEY, account INT UNSIGNED NOT NULL, folder VARCHAR(120) NOT NULL, name VARCHAR(120) NOT NULL,
  kind VARCHAR(100) CHARSET ascii NOT NULL, size BIGINT UNSIGNED NOT NULL, checksum CHAR(32) CHARSET ascii NOT NULL,
  state ENUM('synced', 'waiting', 'failed') NOT NULL, changed DATETIME NOT NULL,
  KEY account (account, changed), KEY name (name));
INSERT INTO files{table} SELECT
  seq, 1 + CRC32(seq) % 20000,
  CONCAT('/My Drive/', ELT(1 + CRC32(CONCAT('a', seq)) % 6, 'Projects', 'Invoices', 'Photos', 'Shared with me',
    'Archive', 'Reports'), '/', 2008 + CRC32(CONCAT('b', seq)) % 15, '/',
    ELT(1 + CRC32(CONCAT('c', seq)) % 5, 'January', 'final', 'drafts', 'scans', 'old')),
  CONCAT(ELT(1 + CRC32(CONCAT('d', seq)) % 6, 'Invoice', 'IMG', 'Minutes of the meeting', 'Budget', 'Screenshot',
    'Presentation'), ' ', CRC32(CONCAT('e', seq)) % 100000,
    ELT(1 + CRC32(CONCAT('f', seq)) % 4, '.pdf', '.jpg', '.docx', '.png')),
  ELT(1 + CRC32(CONCAT('f', seq)) % 4, 'application/pdf', 'image/jpeg',
    'application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'image/png'),
  CRC32(CONCAT('g', seq)) % 20000000, MD5(seq), 1 + (CRC32(CONCAT('h', seq)) % 40 > 35),
  '2010-01-01' + INTERVAL (seq * 150 + CRC32(CONCAT('i', seq)) % 5000) SECOND
FROM seq_{first}_to_{last};
"""
# The server's own configuration but for what makes it a replica: nobody's, and without a binary log.
START = f"""
mkdir -p {FOLDER} && chmod 0711 {FOLDER} && rm -rf {SCRATCH}
mariadb-install-db --no-defaults --user=mysql --datadir={SCRATCH} --skip-test-db --skip-name-resolve > /dev/null
setsid mariadbd --user=mysql --datadir={SCRATCH} --socket={SOCKET} --pid-file={SCRATCH}/pid --skip-networking \\
  --skip-log-bin --skip-log-slave-updates --skip-slave-start --read-only=0 > {FOLDER}/log 2>&1 < /dev/null &
for _ in $(seq 300); do mariadb-admin --socket={SOCKET} ping > /dev/null 2>&1 && exit; sleep 0.2; done
tail -n 1 {FOLDER}/log >&2; exit 1
"""
STOP = f"""
pid=$(cat {SCRATCH}/pid 2> /dev/null) || exit 0
kill $pid && for _ in $(seq 300); do [ -d /proc/$pid ] || break; sleep 0.2; done
"""


def run(server, script, stdin=None, timeout=1800):
    """Run ``script`` (str, bash) on ``server``; return what it prints, raise SystemExit with one line if it fails."""
    argv = podman.inside(server, "bash", "-c", f"set -euo pipefail\n{script}")
    how = {"input": stdin, "stdin": None if stdin else subprocess.DEVNULL}
    how = {key: value for key, value in how.items() if value is not None}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, **how)
    if done.returncode:
        said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        told = [line for line in said if "rror" in line] or said or [f"exit code {done.returncode}"]
        raise SystemExit(f"{server}: {script.strip().splitlines()[0][:80]}: {told[-1][:300]}")
    return done.stdout


def sql(server, statements):
    """Return what ``statements`` (str) print at the MariaDB of ``server``."""
    return run(server, "mariadb --batch --skip-column-names", stdin=statements).strip()


@functools.cache
def _cgroup(server):
    return podman.podman("inspect", "--format", "{{.State.CgroupPath}}", PREFIX + server).stdout.strip().lstrip("/")


def cpu(server):
    """Return the CPU seconds (float) of all that ever ran on ``server``, by the cgroup of its container."""
    groups = pathlib.Path("/sys/fs/cgroup")
    older = groups / "cpuacct" / _cgroup(server) / "cpuacct.usage"
    if older.exists():
        return int(older.read_text()) / 10**9
    words = (groups / _cgroup(server) / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 10**6


def measured(server, what, work):
    """Do ``work``, when no disk has anything to write any more; return what it took (dict: seconds, cpu, said)."""
    run(server, "sync")
    used, began = cpu(server), time.monotonic()
    said = work()
    found = {"seconds": time.monotonic() - began, "cpu": cpu(server) - used, "said": said}
    print(f"{what}: {found['seconds']:.1f} s, {found['cpu']:.1f} CPU s", flush=True)
    return found


def idle(server, seconds=5):
    """Return the CPU seconds (float) that ``server`` takes each second while nobody asks anything of it."""
    used = cpu(server)
    time.sleep(seconds)
    return (cpu(server) - used) / seconds


@contextlib.contextmanager
def data(server, megabytes):
    """
    Have a database of that size on ``server`` while the block runs, which nobody replicates.

    Yields (bytes of the server's data and indexes, rows of the database; int).
    """
    rows, begun = megabytes * 10**6 // BYTES // TABLES, time.monotonic()
    try:
        sql(server, f"SET sql_log_bin = 0; CREATE OR REPLACE DATABASE {DATABASE}")
        for table in range(TABLES):
            for first in range(1, rows + 1, AT_ONCE):
                words = {"database": DATABASE, "table": table, "first": first, "last": min(rows, first + AT_ONCE - 1)}
                sql(server, ROWS.format(**words))
        tables = ", ".join(f"{DATABASE}.files{table}" for table in range(TABLES))
        sql(server, f"ANALYZE NO_WRITE_TO_BINLOG TABLE {tables}")
        size = sql(server, "SELECT SUM(data_length + index_length) FROM information_schema.tables")
        print(f"{TABLES * rows} rows, {int(size) / 10**6:.0f} MB, in {time.monotonic() - begun:.0f} s", flush=True)
        yield int(size), TABLES * rows
    finally:
        run(server, f"rm -rf {FOLDER}")
        sql(server, f"SET sql_log_bin = 0; DROP DATABASE IF EXISTS {DATABASE}")


@contextlib.contextmanager
def scratch(server):
    """Have an empty MariaDB at SOCKET on ``server`` while the block runs."""
    try:
        run(server, START)
        yield
    finally:
        run(server, f"{STOP}\nrm -rf {SCRATCH}")


def complete(server, socket, rows):
    """Raise SystemExit unless the MariaDB at ``socket`` (str) on ``server`` has all ``rows`` (int)."""
    counted = " + ".join(f"(SELECT COUNT(*) FROM {DATABASE}.files{table})" for table in range(TABLES))
    there = run(server, f"mariadb --socket={socket} -N", stdin=f"SELECT {counted}").strip()
    if there != str(rows):
        raise SystemExit(f"{server}: {there} rows are restored, and {rows} were there")
