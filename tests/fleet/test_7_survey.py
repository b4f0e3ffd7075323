"""What somebody did by hand is found, nothing else is, no secret is told, and the states leave it alone."""

import json
import re

import pytest

from tests.fleet.conftest import INVENTORY, SERVERS, changed, failed, planned

pytestmark = pytest.mark.alone

# On the servers of which nobody knows what they do, and on one that plays a role.
HOSTS = ["dev02", "sendy", "radar-2"]
SECRET = "lab-by-hand-8f31"
TRACKER = """
import http.server, socket, sys, threading, time
address = sys.argv[1]
server = http.server.ThreadingHTTPServer((address, 8090), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept = socket.create_connection((address, 8090))
while True:
    time.sleep(60)
"""
UNIT = f"""[Service]
Environment=MAIL_PASSWORD={SECRET}
ExecStart=/usr/bin/python3 /srv/old/tracker.py $ADDRESS --api-key={SECRET} -p{SECRET}
[Install]
WantedBy=multi-user.target
"""
SITE = f"""server {{
    listen 8091;
    server_name old.insynchq.com;
    ssl_certificate old-tls/own.crt;
    location / {{ proxy_pass http://old:{SECRET}@127.0.0.1:8090/{SECRET}; }}
}}
"""
CRON = (
    f"MAILTO={SECRET}\n*/7 * * * * root PASSWORD={SECRET} /usr/bin/python3 /srv/old/send.py --key {SECRET} -p{SECRET}\n"
)
DATABASE = f"""import sqlite3
connection = sqlite3.connect("/srv/old/lists.db")
connection.execute("create table \\"{SECRET}\\" (mail text)")
connection.commit()
"""
# Nobody has its key.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBqDCCAU6gAwIBAgIUBExNbiem198g7PvEY8d9SaVN+fUwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQb2xkLmluc3luY2hxLmNvbTAeFw0yNjExMjcxMjUxNTZaFw0z
NjExMjQxMjUxNTZaMBsxGTAXBgNVBAMMEG9sZC5pbnN5bmNocS5jb20wWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAQ7+ZJ7rLnJuzW2QGnn1EKkvrTeJZyUMAqXV71Y
V64PgtS1sVNn74mGQR/tLjzixURlHA0Rz5cQQ2kOdd6AU8Qxo3AwbjAdBgNVHQ4E
FgQUVHdcDcvy5YxAmd03yHnTDGQaHVowHwYDVR0jBBgwFoAUVHdcDcvy5YxAmd03
yHnTDGQaHVowDwYDVR0TAQH/BAUwAwEB/zAbBgNVHREEFDASghBvbGQuaW5zeW5j
aHEuY29tMAoGCCqGSM49BAMCA0gAMEUCIQChRc7dbrHvVHeNTJMnmUlrQWglImIL
gaOE9dz1VXPX3gIgZMJIA4ctABAtXZGTuDvR3gkKOjkGeJUnv/6P+m94/OE=
-----END CERTIFICATE-----
"""
# Started by hand, with no file of a unit, and reached by who knows its path.
HELPER = """
import socket, time
server = socket.socket(socket.AF_UNIX)
server.bind("/srv/old/helper.sock")
server.listen()
while True:
    time.sleep(60)
"""
# As helper, but nobody reaches it: it only works.
WORKER = """
import time

while True:
    time.sleep(60)
"""
PLANT = """set -e
mkdir -p /srv/old/mysql/mysql /srv/old/mysql/shop /etc/nginx/sites-enabled /etc/nginx/old-tls /etc/cron.d
printf x | tee /srv/old/mysql/ibdata1 > /srv/old/mysql/shop/lists.ibd
cat > /srv/old/tracker.py <<'END'
{tracker}END
cat > /etc/systemd/system/old-tracker.service <<'END'
{unit}END
cat > /etc/nginx/sites-enabled/old <<'END'
{site}END
cat > /etc/nginx/old-tls/own.crt <<'END'
{certificate}END
cat > /srv/old/helper.py <<'END'
{helper}END
cat > /srv/old/worker.py <<'END'
{worker}END
(cd /srv/old; nohup python3 worker.py --key={secret} > /dev/null 2>&1 & echo $! > /srv/old/worker.pid)
cat > /etc/cron.d/old-lists <<'END'
{cron}END
python3 - <<'END'
{database}END
cp -a /etc/bash.bashrc /srv/old/bash.bashrc
echo 'export PASSWORD={secret}' >> /etc/bash.bashrc
systemctl daemon-reload
systemctl enable --quiet --now old-tracker
systemd-run --quiet --collect --unit=old-helper /usr/bin/python3 /srv/old/helper.py --key={secret}
timeout 20 sh -c 'until [ -S /srv/old/helper.sock ]; do sleep 0.1; done'
"""
CLEAR = """systemctl disable --now old-tracker
systemctl stop old-helper
kill "$(cat /srv/old/worker.pid)"
[ ! -e /srv/old/bash.bashrc ] || cp -a /srv/old/bash.bashrc /etc/bash.bashrc
rm -rf /srv/old /etc/systemd/system/old-tracker.service /etc/nginx/sites-enabled/old /etc/cron.d/old-lists
rm -rf /etc/nginx/old-tls
rmdir --ignore-fail-on-non-empty /etc/nginx/sites-enabled /etc/nginx /etc/cron.d 2>/dev/null
systemctl daemon-reload
"""


def runner(fleet, *command):
    """Return what ``salt-run insync.<command>`` says as JSON."""
    verb, *words = command
    return json.loads(fleet.ok("ct1", "salt-run", "--out=json", "--log-level=critical", f"insync.{verb}", *words))


@pytest.fixture(scope="module")
def before(fleet):
    """The survey of dev02 before somebody worked there: its date."""
    (row,) = runner(fleet, "survey", "dev02")
    return row["record"].rpartition("/")[2].removesuffix(".json")


@pytest.fixture(scope="module")
def by_hand(fleet, before):
    """Servers on which somebody has a service, a site, a job, a database, a changed file...; {server: its address}."""
    addresses = {server: INVENTORY["hosts"][server]["private"] for server in HOSTS}
    try:
        for server, address in addresses.items():
            unit = UNIT.replace("$ADDRESS", address)
            parts = {
                "tracker": TRACKER,
                "unit": unit,
                "site": SITE,
                "cron": CRON,
                "certificate": CERTIFICATE,
                "helper": HELPER,
                "worker": WORKER,
                "database": DATABASE,
                "secret": SECRET,
            }
            fleet.ok(server, "sh", stdin=PLANT.format(**parts))
        yield addresses
    finally:
        for server in HOSTS:
            fleet.run(server, "sh", stdin=CLEAR)


@pytest.fixture(scope="module")
def surveyed(fleet, by_hand):
    """The rows of a survey of the whole fleet, by server."""
    return {row["server"]: row for row in runner(fleet, "survey")}


def expected(address):
    """What the survey has to say of what was planted on the server with ``address``, and no more."""
    return [
        f"listener tcp {address}:8090: /usr/bin/python3.11 /srv/old/tracker.py ... --api-key=... -p..."
        f" (unit old-tracker.service, package python3.11-minimal, user root); connected: {address}",
        "unit /etc/systemd/system/old-tracker.service: runs, starts at boot, /usr/bin/python3 /srv/old/tracker.py ... "
        "--api-key=... -p...",
        "cron /etc/cron.d/old-lists: */7 * * * * PASSWORD=... /usr/bin/python3 ... --key ... -p... (user root)",
        "socket /srv/old/helper.sock: /usr/bin/python3.11 /srv/old/helper.py --key=..."
        " (unit old-helper.service, package python3.11-minimal, user root)",
        "process /usr/bin/python3.11 /srv/old/worker.py --key=... (of no unit, package python3.11-minimal, user root)",
        "service old-helper.service, /usr/bin/python3 /srv/old/helper.py --key=...",
        "site old.insynchq.com of nginx, in /etc/nginx/sites-enabled/old, to http://...",
        "certificate /etc/nginx/old-tls/own.crt: old.insynchq.com, until 2036-11-24",
        "database shop of mysql, 1 B, /srv/old/mysql/shop",
        "database lists.db of sqlite, 8.19 kB, /srv/old/lists.db",
        "configuration /etc/bash.bashrc of bash: changed",
    ]


def test_what_was_made_by_hand_is_all_found(fleet, by_hand, surveyed):
    for server, address in by_hand.items():
        record = json.loads(fleet.ok("ct1", "cat", surveyed[server]["record"]))
        names = {line.replace(f"connected: {server}", f"connected: {address}") for line in record["unknown"]}
        names = {re.sub(r", since 20[\d-]+ [\d:]+$", "", name) for name in names}
        assert names == set(expected(address)), server


def test_nothing_is_found_on_a_server_that_nobody_touched(fleet, surveyed):
    assert sorted(surveyed) == SERVERS
    untouched = {server: row for server, row in surveyed.items() if server not in HOSTS}
    odd = [row for row in untouched.values() if row["unknown"] or row["missing"] or row["incomplete"]]
    records = {row["server"]: json.loads(fleet.ok("ct1", "cat", row["record"])) for row in odd}
    told = {server: [record[key] for key in ("unknown", "missing", "incomplete")] for server, record in records.items()}
    assert told == {}


def test_while_states_run_nothing_else_is_found_and_what_has_to_wait_waits(fleet):
    """Salt's queue would leave what asks for the states, or applies some, to later, and answer at once."""
    server, running = "wiki", ["saltutil.is_running", "state.single"]
    fleet.ok("ct1", "salt", "--async", server, "state.single", "cmd.run", "name=sleep 15")
    fleet.eventually(lambda: fleet.salt(server, *running)[server], 30)
    found = fleet.salt(server, "insync.survey")[server]
    assert fleet.salt(server, *running)[server], "it was surveyed meanwhile"
    assert (found["unknown"], found["missing"], found["incomplete"]) == ([], [], [])
    assert fleet.salt(server, "insync_states.apply", "journal")[server] == []
    assert fleet.salt(server, *running)[server] == []
    assert fleet.ok(server, "find", "/var/cache/salt/minion/queues", "-type", "f") == ""


TAKEN = {
    "/etc/nginx/nginx.conf": "events {}\nhttp { server { server_name old.insynchq.com; root /srv/old; } }\n",
    "/etc/systemd/system/insync-sshd-rollback.service": "[Service]\nExecStart=/usr/bin/python3 /srv/sync.py\n",
}


def test_what_somebody_made_where_our_states_write_is_found_too(fleet):
    """As on a server that was in use before its first highstate."""
    server = HOSTS[-1]
    try:
        for name, text in TAKEN.items():
            fleet.ok(server, "cp", "-a", name, f"{name}.ours")
            fleet.ok(server, "sh", "-c", f"cat > {name}", stdin=text)
        (said,) = fleet.salt(server, "insync.survey").values()
    finally:
        for name in TAKEN:
            fleet.ok(server, "mv", f"{name}.ours", name)
    told = [line for line in said["unknown"] if any(name in line for name in TAKEN)]
    assert told == [
        "unit /etc/systemd/system/insync-sshd-rollback.service: starts at boot, /usr/bin/python3 ...",
        "site old.insynchq.com of nginx, in /etc/nginx/nginx.conf, root /srv/old",
        "configuration /etc/nginx/nginx.conf of nginx-common: changed",
    ]


def connected(fleet, surveyed, server, port):
    """The private addresses that are connected to ``port`` of ``server``, as its survey tells them."""
    record = json.loads(fleet.ok("ct1", "cat", surveyed[server]["record"]))
    return {peer for row in record["found"]["listeners"] if row["port"] == port for peer in row["peers"]}


def test_who_is_connected_is_told_of_servers_that_others_use(fleet, surveyed):
    """Of the databases the one follows the other; of so many minions as there are not all are named."""
    private = {server: host["private"] for server, host in INVENTORY["hosts"].items()}
    pair = ("db", "db-slave02")
    followed = [one for one, other in (pair, pair[::-1]) if private[other] in connected(fleet, surveyed, one, 3306)]
    assert followed
    minions = {private[server] for server in SERVERS if server != "ct1"}
    assert len(connected(fleet, surveyed, "ct1", 4505) & minions) >= 15


def test_what_is_declared_and_does_not_listen_is_told(fleet, by_hand, surveyed):
    try:
        fleet.ok("radar-2", "systemctl", "stop", "nginx")
        (row,) = runner(fleet, "survey", "radar-2")
        rows = runner(fleet, "survey_diff", "radar-2")
    finally:
        fleet.ok("radar-2", "systemctl", "start", "nginx")
    assert row["missing"] == 1
    assert [(one["declared"], one["found"]) for one in rows if one["declared"] != "nothing"] == [
        ("tcp/443 of radar: nginx.service does not listen", "nothing")
    ]


def test_no_secret_is_told_or_kept(fleet, by_hand, surveyed):
    brief = json.dumps(fleet.salt("dev02", "insync.survey"))
    assert "old-tracker" in brief and SECRET not in brief
    kept = "".join(fleet.ok("ct1", "cat", surveyed[server]["record"]) for server in HOSTS)
    assert "old-tracker" in kept and SECRET not in kept
    assert fleet.run("ct1", "runuser", "-u", "alice", "--", "cat", surveyed["dev02"]["record"]).returncode != 0


def test_two_dates_and_the_inventory_are_compared(fleet, before, by_hand, surveyed):
    new = [row for row in runner(fleet, "survey_diff", "dev02", before) if row["change"] == "new"]
    said = " ".join(row["what"] for row in new)
    for part in (
        "old-tracker.service",
        "old-helper.service",
        "helper.sock",
        "worker.py",
        "own.crt",
        "/etc/cron.d/old-lists",
        "lists.db",
        "old.insynchq.com",
        "/etc/bash.bashrc",
    ):
        assert part in said, part
    assert "connection of dev02 to tcp/8090 of old-tracker.service" in said
    rows = runner(fleet, "survey_diff", "dev02")
    assert [row["declared"] for row in rows] == ["nothing"] * len(expected(""))
    assert runner(fleet, "survey_diff", "license01") == []


def test_a_survey_that_there_is_not_is_refused(fleet):
    for words, said in (
        (("dev02", "1999"), "dev02: no survey of 1999; there are those of"),
        (("dev03",), "there is no server 'dev03'; did you mean 'dev02'?"),
    ):
        done = fleet.run("ct1", "salt-run", "--log-level=critical", "insync.survey_diff", *words)
        assert done.returncode == 1 and said in done.stdout + done.stderr


FILES = "/srv/old /etc/systemd/system/old-tracker.service /etc/nginx/sites-enabled/old /etc/cron.d/old-lists"
DIGEST = f"find {FILES} /etc/nginx/old-tls /etc/bash.bashrc -type f -exec sha256sum {{}} +"
DIGEST += "; systemctl show -P MainPID old-tracker old-helper; dpkg -l | sha256sum"


def test_the_states_leave_it_alone(fleet, by_hand):
    servers = ["dev02", "sendy"]
    before = {server: fleet.ok(server, "sh", "-c", DIGEST) for server in servers}
    for server, states in fleet.highstate(servers, "test=True").items():
        assert planned(states) == [], server
    for server, states in fleet.highstate(servers).items():
        assert (failed(states), changed(states)) == ([], []), server
    assert {server: fleet.ok(server, "sh", "-c", DIGEST) for server in servers} == before
    for server in servers:
        assert "lists.db" in fleet.ok(server, "curl", "-s", f"http://{by_hand[server]}:8090/srv/old/")


MAIL = "import socket, sys; socket.create_connection(('smtp.cloud.test', int(sys.argv[1])), 5).recv(4)"


def test_what_is_frozen_gets_no_new_package_and_sends_no_mail(fleet):
    install = "apt-get -qq --simulate install tree"
    done = fleet.run("sendy", "sh", "-c", f"apt-get -qq update && {install}")
    assert done.returncode != 0 and "no installation candidate" in done.stderr
    assert "Inst tree" in fleet.ok("sendy", "sh", "-c", f"{install} -o Dir::Etc::PreferencesParts=/nonexistent")
    policy = fleet.ok("sendy", "apt-cache", "policy")
    assert [line.split()[0] for line in policy.splitlines() if "-security/main" in line] == ["500"]
    assert "2465, 2525, 2587 } reject" in fleet.ok("sendy", "nft", "list", "chain", "inet", "insync", "output")
    for port in ("25", "465", "587"):
        refused = fleet.run("sendy", "python3", "-c", MAIL, port)
        assert "ConnectionRefusedError" in refused.stderr, port
    assert fleet.run("dev02", "python3", "-c", MAIL, "587").returncode == 0


def test_the_candidates_are_listed_with_what_keeps_them(fleet, surveyed):
    rows = {row["server"]: row for row in runner(fleet, "lifecycle")}
    assert sorted(rows) == ["dev", "dev02", "drone", "drone-test", "sendy", "wiki"]
    assert rows["drone"]["waits_for"] == "after deployment of Travis"
    assert rows["sendy"]["frozen"] == "yes" and rows["sendy"]["surveyed"] in surveyed["sendy"]["record"]
    assert "wiki.insynchq.com" in rows["wiki"]["still_used"]
