"""The web path as its users see it: a browser in insync-world, the mail relay, what the servers say of themselves."""

import base64
import json
import re
import uuid

import yaml

from tests.fleet.conftest import INVENTORY, ROOT

SITE = "https://www.insynchq.com"
MAILS = "/var/lib/smtp-sink/mail/new"
SECRETS = yaml.safe_load((ROOT / "lab" / "fake_secrets.yaml").read_text(encoding="utf-8"))


def shapes(secret):
    """Return (set of str) how ``secret`` (str) may stand in a text: as it is, or as JSON or Python writes it."""
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}


def leaked(text):
    """Return which secrets (list of str) stand in ``text`` (str), in any of their shapes."""
    lines = [line for role in SECRETS.values() for value in role.values() for line in value.splitlines()]
    secrets = [line for line in lines if line and not line.startswith("-----")]
    return [one for one in secrets if any(shape in text for shape in shapes(one))]


def get(fleet, path, *options):
    """Return (status, body) of a request from the internet; options are curl's."""
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}", *options]
    body, _, status = fleet.run("world", *command, f"{SITE}{path}").stdout.rpartition("\n")
    return int(status or 0), body


JT = "/insync/venv/conf_server_bin/bin/jt"
JT_FINDS = {"INSYNC_SETTINGS": "/etc/insync/jt/settings.json", "JT_TOKEN_FILE": "/etc/insync/jt/token"}


def jt(fleet, *words, stdin=None):
    """Run ``jt sconf`` on ct1 with ``words``; return what it prints."""
    environment = [f"{name}={value}" for name, value in JT_FINDS.items()]
    return fleet.ok("ct1", "env", *environment, JT, "sconf", *words, stdin=stdin)


def sign_up(fleet, email):
    """Sign ``email`` up from the internet; return (status, answer)."""
    data = ["--header", "Content-Type: application/json", "--data", json.dumps({"email": email})]
    status, body = get(fleet, "/signup", *data)
    return status, json.loads(body) if body.startswith("{") else body


def address(kind="new"):
    """Return an e-mail address that nobody has used yet; ``kind`` is its beginning."""
    return f"{kind}-{uuid.uuid4().hex[:12]}@customer.test"


def mails_to(fleet, recipient):
    """Return the texts of the mails that the relay took for ``recipient``."""
    script = (
        f'cd {MAILS} && grep -lF -e "Delivered-To: $0" -- * 2>/dev/null | while read f; do base64 -w0 "$f"; echo; done'
    )
    lines = fleet.run("cloud", "sh", "-c", script, recipient).stdout.split()
    return [base64.b64decode(line).decode() for line in lines]


def readiness(fleet, server, app="web"):
    """Return what the application on ``server`` tells the load balancer of itself; {} if it does not answer."""
    private = INVENTORY["hosts"][server]["private"]
    ports = [INVENTORY["services"][f"{app}-{slot}"]["port"] for slot in ("blue", "green")]
    for port in ports:
        said = fleet.run("web-lb02", "curl", "--silent", "--max-time", "5", f"http://{private}:{port}/readyz").stdout
        if said:
            return json.loads(said)
    return {}


# Those that answer on loopback only.
WORKERS = {"mailer": 8121, "periodic_mailer": 8131}


def missing(fleet, server, app="web"):
    """Return the names of the checks that fail in the readiness of the application on ``server``."""
    alone = app in WORKERS
    said = loopback(fleet, server, WORKERS[app], "/readyz")[1] if alone else readiness(fleet, server, app)
    checks = said.get("checks", {"no answer": {"ok": False}})
    return sorted(name for name, check in checks.items() if not check["ok"])


def loopback(fleet, server, port, path):
    """Return what a program on ``server`` answers on loopback, as (status, dict)."""
    command = ["curl", "--silent", "--max-time", "5", "--write-out", "\n%{http_code}", f"http://127.0.0.1:{port}{path}"]
    body, _, status = fleet.run(server, *command).stdout.rpartition("\n")
    return int(status or 0), json.loads(body) if body else {}


def stats(fleet):
    """Return the mailer's counters."""
    return loopback(fleet, "beanstalkd", WORKERS["mailer"], "/stats")[1]


def buried(fleet):
    """Return how many jobs of the tube mail are buried, as beanstalkd itself counts."""
    private = INVENTORY["hosts"]["beanstalkd"]["private"]
    port = INVENTORY["services"]["beanstalkd"]["port"]
    script = f"printf 'stats-tube mail\\r\\nquit\\r\\n' | python3 -c \"{_PIPE}\" {private} {port}"
    said = fleet.ok("beanstalkd", "sh", "-c", script)
    found = re.search(r"current-jobs-buried: (\d+)", said)
    return int(found[1]) if found else 0


_PIPE = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); "
    "s.sendall(sys.stdin.buffer.read()); sys.stdout.write(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
)


REDIS = """
import json, sys, redis, redis.backoff, redis.retry

def answer(client, command):
    try:
        return client.execute_command(*command)
    except redis.RedisError as exc:
        return f"{type(exc).__name__}: {exc}"

ask = json.load(sys.stdin)
tls = {"ssl": True, "ssl_ca_certs": "/etc/insync/fleet-ca.crt", "decode_responses": True, "socket_timeout": 5}
# It would try a refused login again, for seconds.
tls["retry"] = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
for login, commands in ask["asked"]:
    client = redis.Redis("redis.insync.internal", ask["port"], **tls, **login)
    print(json.dumps([answer(client, command) for command in commands]))
"""
# Where the users of redis are, what they are called there, and which instance is theirs.
REDIS_USERS = {
    "web": ("web02", "redis"),
    "periodic_mailer": ("beanstalkd", "redis"),
    "license": ("license01", "redis-cache"),
}


def redis(fleet, command, user="web"):
    """Return what redis answers ``user``, or the error as a text."""
    return redis_all(fleet, [command], user)[0]


def redis_all(fleet, commands, user="web"):
    """Return the list of what redis answers ``user`` to ``commands`` (list of lists), errors as texts."""
    login = {"username": user, "password": SECRETS["redis"][f"{user}_password"]}
    return redis_as(fleet, [(login, commands)], user)[0]


def redis_as(fleet, asked, user):
    """
    Return a list of lists: what the instance of ``user`` answers on a server of its.

    asked (list of (dict, list)): logins (username and password), and what each asks.
    """
    server, service = REDIS_USERS[user]
    told = json.dumps({"asked": asked, "port": INVENTORY["services"][service]["port"]})
    said = fleet.ok(server, f"/insync/venv/{user}/bin/python", "-c", REDIS, stdin=told)
    return [json.loads(line) for line in said.splitlines()]


def active_unit(fleet, server, app="web"):
    """Return the unit of the slot that serves on ``server``."""
    record = json.loads(fleet.ok(server, "cat", f"/var/lib/insync/{app}/state.json"))
    return f"{app}@{record['slot']}"


def main_pid(fleet, server, unit):
    """Return the process id (str) of ``unit`` on ``server``."""
    return fleet.ok(server, "systemctl", "show", "--property=MainPID", "--value", unit).strip()


class Stopped:
    """Stops a unit on a server for the length of a ``with``, and starts it again whatever happens."""

    def __init__(self, fleet, server, unit):
        self.fleet, self.server, self.unit = fleet, server, unit

    def __enter__(self):
        self.fleet.ok(self.server, "systemctl", "stop", self.unit)

    def __exit__(self, *_):
        self.fleet.ok(self.server, "systemctl", "start", self.unit)
