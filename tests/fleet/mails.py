"""Many sign-ups from the internet while something is done to the fleet, and which of their mails the relay took."""

import collections
import contextlib
import json
import re
import uuid

from tests.fleet import web

FOLDER = "/tmp/lab-sign-ups"  # noqa: S108  of a container
TUBE_DATA = "/var/lib/beanstalkd"
PROGRAM = f"""
import http.client, json, os, ssl, sys, threading, time, urllib.parse

given = json.load(sys.stdin)
site = urllib.parse.urlsplit(given["site"]).hostname
numbers = iter(range(given["count"]))
lock = threading.Lock()


def ask(email):
    connection = http.client.HTTPSConnection(site, timeout=20, context=ssl.create_default_context())
    try:
        body = json.dumps({{"email": email}})
        connection.request("POST", "/signup", body, {{"Content-Type": "application/json"}})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def run():
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        email = given["prefix"] + str(number) + "@customer.test"
        # Who was answered nothing, or that it cannot be now, asks again; who is taken by then has signed up.
        while (status := ask(email)) not in (201, 409):
            time.sleep(0.2)
        with lock:
            print(email, status, file=answered, flush=True)


with open({FOLDER!r} + "/answered", "w") as answered:
    threads = [threading.Thread(target=run) for _ in range(given["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
open({FOLDER!r} + "/done", "w").close()
"""


class SignUps:
    """Those who signed up: ``addresses`` (set of str), complete once ``wait`` has returned."""

    def __init__(self, fleet, prefix, count):
        self.fleet, self.prefix, self.count, self.addresses = fleet, prefix, count, set()

    def answered(self):
        """Return how many were told that they have signed up."""
        text = self.fleet.run("world", "cat", f"{FOLDER}/answered").stdout
        self.addresses = {line.split()[0] for line in text.splitlines() if line.count(" ") == 1}
        return len(self.addresses)

    def over(self):
        """Return whether all have been told."""
        return self.fleet.run("world", "test", "-e", f"{FOLDER}/done").returncode == 0

    def wait(self, seconds):
        """Wait until all have been told."""
        self.fleet.eventually(self.over, seconds, why=lambda: f"{self.answered()} of {self.count} were answered")
        assert self.answered() == self.count

    def delivered(self):
        """Return how many mails the relay took for each (collections.Counter)."""
        command = f"grep -rhoaE '^Delivered-To: {self.prefix}[^[:space:]]+' {web.MAILS}"
        said = self.fleet.run("cloud", "sh", "-c", command).stdout
        return collections.Counter(re.findall(r"(?m)^Delivered-To: (\S+)$", said))

    def all_delivered(self, seconds):
        """Wait until each has a mail; return who has more than one (dict)."""
        missing = lambda: self.addresses - self.delivered().keys()  # noqa: E731
        self.fleet.eventually(lambda: not missing(), seconds, why=lambda: f"no mail: {sorted(missing())[:20]}")
        return {address: count for address, count in self.delivered().items() if count > 1}


@contextlib.contextmanager
def signing_up(fleet, count, threads=4):
    """
    Let ``count`` sign up, each until it is told that it has, while the block runs; yield the SignUps.

    threads (int): so many at once. What they left in the database and at the relay is removed in the end.
    """
    prefix = f"many-{uuid.uuid4().hex[:8]}-"
    given = {"site": web.SITE, "prefix": prefix, "count": count, "threads": threads}
    fleet.ok("world", "sh", "-c", f"rm -rf {FOLDER} && mkdir -p {FOLDER} && cat > {FOLDER}/program.py", stdin=PROGRAM)
    begin = f"setsid python3 {FOLDER}/program.py >{FOLDER}/log 2>&1 <<'END' &\n"
    fleet.ok("world", "sh", "-c", f"{begin}{json.dumps(given)}\nEND")
    ups = SignUps(fleet, prefix, count)
    try:
        yield ups
    finally:
        fleet.run("world", "pkill", "-f", f"{FOLDER}/[p]rogram.py")
        fleet.run("cloud", "sh", "-c", f"grep -rlaF 'Delivered-To: {prefix}' {web.MAILS} | xargs -r rm -f")
        fleet.run("db", "mariadb", "--execute", f"DELETE FROM insync.users WHERE email LIKE '{prefix}%'")


def wipe(fleet, server="beanstalkd"):
    """Kill the queue, as a power cut would, and give it a blank disk."""
    script = f"systemctl kill --signal=KILL beanstalkd; systemctl stop beanstalkd; rm -f {TUBE_DATA}/binlog.*"
    fleet.ok(server, "sh", "-c", f"{script} && systemctl start beanstalkd")
