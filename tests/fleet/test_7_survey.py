"""What somebody did by hand is found, nothing else is, no secret is told, and the states leave it alone."""

import json

import pytest

from tests.fleet.conftest import INVENTORY, SERVERS, changed, failed, planned

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
PLANT = """set -e
mkdir -p /srv/old /etc/nginx/sites-enabled /etc/cron.d
cat > /srv/old/tracker.py <<'END'
{tracker}END
cat > /etc/systemd/system/old-tracker.service <<'END'
{unit}END
cat > /etc/nginx/sites-enabled/old <<'END'
{site}END
cat > /etc/cron.d/old-lists <<'END'
{cron}END
python3 - <<'END'
{database}END
cp -a /etc/bash.bashrc /srv/old/bash.bashrc
echo 'export PASSWORD={secret}' >> /etc/bash.bashrc
systemctl daemon-reload
systemctl enable --quiet --now old-tracker
"""
CLEAR = """systemctl disable --now old-tracker
[ ! -e /srv/old/bash.bashrc ] || cp -a /srv/old/bash.bashrc /etc/bash.bashrc
rm -rf /srv/old /etc/systemd/system/old-tracker.service /etc/nginx/sites-enabled/old /etc/cron.d/old-lists
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
    """Servers on which somebody has a service, a site, a job, a database and a changed file; {server: its address}."""
    addresses = {server: INVENTORY["hosts"][server]["private"] for server in HOSTS}
    try:
        for server, address in addresses.items():
            unit = UNIT.replace("$ADDRESS", address)
            parts = {
                "tracker": TRACKER,
                "unit": unit,
                "site": SITE,
                "cron": CRON,
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
        "site old.insynchq.com of nginx, in /etc/nginx/sites-enabled/old, to http://...",
        "database lists.db of sqlite, 8.19 kB, /srv/old/lists.db",
        "configuration /etc/bash.bashrc of bash: changed",
    ]


def test_what_was_made_by_hand_is_all_found(fleet, by_hand, surveyed):
    for server, address in by_hand.items():
        record = json.loads(fleet.ok("ct1", "cat", surveyed[server]["record"]))
        names = {line.replace(f"connected: {server}", f"connected: {address}") for line in record["unknown"]}
        assert names == set(expected(address)), server


def test_nothing_is_found_on_a_server_that_nobody_touched(fleet, surveyed):
    assert sorted(surveyed) == SERVERS
    untouched = {server: row for server, row in surveyed.items() if server not in HOSTS}
    odd = [row for row in untouched.values() if row["unknown"] or row["missing"] or row["incomplete"]]
    records = {row["server"]: json.loads(fleet.ok("ct1", "cat", row["record"])) for row in odd}
    told = {server: [record[key] for key in ("unknown", "missing", "incomplete")] for server, record in records.items()}
    assert told == {}


def test_no_secret_is_told_or_kept(fleet, by_hand, surveyed):
    brief = json.dumps(fleet.salt("dev02", "insync.survey"))
    assert "old-tracker" in brief and SECRET not in brief
    kept = "".join(fleet.ok("ct1", "cat", surveyed[server]["record"]) for server in HOSTS)
    assert "old-tracker" in kept and SECRET not in kept
    assert fleet.run("ct1", "runuser", "-u", "alice", "--", "cat", surveyed["dev02"]["record"]).returncode != 0


def test_two_dates_and_the_inventory_are_compared(fleet, before, by_hand, surveyed):
    new = [row for row in runner(fleet, "survey_diff", "dev02", before) if row["change"] == "new"]
    said = " ".join(row["what"] for row in new)
    for part in ("old-tracker.service", "/etc/cron.d/old-lists", "lists.db", "old.insynchq.com", "/etc/bash.bashrc"):
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
DIGEST = f"find {FILES} /etc/bash.bashrc -type f -exec sha256sum {{}} +"
DIGEST += "; systemctl show -P MainPID old-tracker; dpkg -l | sha256sum"


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
