"""Eight writers on web02, as the account of web: each row is a transaction, and what was answered is kept."""

import contextlib
import json
import time

from tests.fleet import web
from tests.fleet.conftest import INVENTORY

SERVER, TABLE = "web02", "insync.lab_writers"
FOLDER = "/tmp/lab-writers"  # noqa: S108  of a container
DOMAIN = INVENTORY["networks"]["private"]["domain"]
PROGRAM = f"""
import json, os, sys, threading, time, uuid
import pymysql

given = json.load(sys.stdin)
hosts, pause, stop = given.pop("hosts"), given.pop("pause"), {FOLDER!r} + "/stop"
given["password"] = given["password"].encode()


def run(number):
    turn, connection = 0, None
    with open(f"{FOLDER}/{{number}}", "w", buffering=1) as file:
        while not os.path.exists(stop):
            row, host = uuid.uuid4().hex, hosts[turn % len(hosts)]
            try:
                connection = connection or pymysql.connect(
                    host=host, connect_timeout=1, read_timeout=15, autocommit=True,
                    ssl_ca="/etc/insync/fleet-ca.crt", ssl_verify_cert=True, ssl_verify_identity=True, **given
                )
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO {TABLE} (id) VALUES (%s)", (row,))
            except (pymysql.MySQLError, OSError):
                # Nobody knows whether it is there: another row, at the other server.
                connection, turn = None, turn + 1
                time.sleep(0.05)
                continue
            print(row, time.time(), host.split(".")[0], file=file)
            time.sleep(pause)


for number in range(8):
    threading.Thread(target=run, args=(number,)).start()
"""


class Writers:
    """What they were answered: ``rows`` (list of (row, when, server), by time) once they have stopped."""

    def __init__(self, fleet):
        self.fleet, self.rows = fleet, []

    def read(self):
        """Return all that was answered so far, the oldest first."""
        # Not by a pattern, which at first matches nothing.
        text = self.fleet.ok(SERVER, "find", FOLDER, "-name", "[0-9]*", "-exec", "cat", "{}", "+")
        found = [line.split() for line in text.splitlines() if line.count(" ") == 2]
        return sorted(((row, float(when), server) for row, when, server in found), key=lambda one: one[1])

    def first(self, server, since):
        """Return after how many seconds from ``since`` (time.time()) ``server`` answered its first write then."""
        return next(when for _, when, by in self.rows if by == server and when > since) - since

    def longest(self):
        """Return for how many seconds nobody was answered, at the longest."""
        times = [when for _, when, _ in self.rows]
        return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


@contextlib.contextmanager
def writing(fleet, primary, servers, pause=0.005):
    """
    Let eight write while the block runs, to whichever of ``servers`` takes it; yield the Writers.

    pause (float): after how many seconds each goes on.
    """
    create = f"CREATE TABLE IF NOT EXISTS {TABLE} (id CHAR(32) PRIMARY KEY); DELETE FROM {TABLE}"
    fleet.ok(primary, "mariadb", "--execute", create)
    given = {"user": "web", "password": web.SECRETS["mysql_primary"]["web_password"], "database": "insync"}
    given["pause"] = pause
    given["hosts"] = [f"{server}.{DOMAIN}" for server in servers]
    fleet.ok(SERVER, "sh", "-c", f"rm -rf {FOLDER} && mkdir -p {FOLDER}")
    fleet.ok(SERVER, "sh", "-c", f"cat > {FOLDER}/program.py", stdin=PROGRAM)
    begin = f"setsid /opt/salt/bin/python -W ignore {FOLDER}/program.py >{FOLDER}/log 2>&1 <<'END' &\n"
    fleet.ok(SERVER, "sh", "-c", f"{begin}{json.dumps(given)}\nEND")
    writers = Writers(fleet)
    try:
        fleet.eventually(lambda: len(writers.read()) > 20, 30, why=fleet.run(SERVER, "cat", f"{FOLDER}/log").stdout)
        yield writers
        # What comes after it has to be written, too.
        time.sleep(2)
    finally:
        fleet.run(SERVER, "touch", f"{FOLDER}/stop")
        fleet.run(SERVER, "sh", "-c", f"timeout 30 sh -c 'while pgrep -f {FOLDER}/[p]rogram.py; do sleep 0.2; done'")
        writers.rows = writers.read()
