"""The Sentry server: what web sends it and who may read that, what is too old goes, and web does without it."""

import json
import time
import uuid

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed, planned
from tests.fleet.web import SECRETS

URL = "https://sentry.insync.internal"
API = f"{URL}/api/canonical/0"
CA = "/etc/insync/fleet-ca.crt"
KEY, TOKEN = SECRETS["sentry"]["web_key"], SECRETS["sentry"]["api_token"]
PASSWORD = SECRETS["sentry"]["admin_password"]
ADMIN = "ops@insynchq.com"
DATABASE = "/var/lib/bugsink/db.sqlite3"
UNITS = ("bugsink", "bugsink-snappea", "nginx")

# A browser on the server itself: prints the address where a login with this password ends.
LOG_IN = """
import http.cookiejar, json, ssl, sys, urllib.parse, urllib.request
url, ca, name, password = json.load(sys.stdin)
cookies = http.cookiejar.CookieJar()
tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca))
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies), tls)
browser.open(f"{url}/accounts/login/?next=/teams/")
token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
form = {"csrfmiddlewaretoken": token, "username": name, "password": password, "next": "/teams/"}
request = urllib.request.Request(f"{url}/accounts/login/", urllib.parse.urlencode(form).encode())
request.add_header("Referer", f"{url}/accounts/login/")
print(browser.open(request).url)
"""
# The same with curl, through an operator's tunnel; the password comes on standard input.
BROWSE = """
jar=$(mktemp) page=$0:8443/accounts/login/ name=${0#https://}
curl="curl --silent --max-time 20 --retry 5 --retry-connrefused --cookie $jar --cookie-jar $jar --output /dev/null"
curl="$curl --cacert /run/fleet-ca.crt --resolve $name:8443:127.0.0.1"
$curl "$page"
form="csrfmiddlewaretoken=$(awk '$6 == "csrftoken" {print $7}' $jar)&next=/teams/"
$curl --write-out '%{http_code} %{redirect_url}' --header "Origin: $0:8443" --referer "$page" \
    --data "$form" --data-urlencode "username=$1" --data-urlencode password@- "$page"
"""
SQL = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=20)
database.execute(sys.argv[2])
database.commit()
"""


def ask(fleet, server, *options, headers=()):
    """Return (status, body) of a request from ``server``; 0 if nobody answers. Headers are secrets: curl reads them."""
    command = ["curl", "--silent", "--connect-timeout", "2", "--max-time", "9", "--cacert", CA, "--config", "-"]
    command += ["--write-out", "\n%{http_code}"]
    config = "".join(f'header = "{header}"\n' for header in headers)
    body, _, status = fleet.run(server, *command, *options, stdin=config).stdout.rpartition("\n")
    return int(status or 0), body


def read(fleet, path, server="sentry", token=TOKEN):
    """Return (status, answer) of the interface for programs."""
    status, body = ask(fleet, server, f"{API}/{path}", headers=[f"Authorization: Bearer {token}"] if token else [])
    return status, json.loads(body) if body.startswith("{") else body


def send(fleet, key=KEY, project=1, server="web02"):
    """Send an event as a client does; return the status."""
    event = {"event_id": uuid.uuid4().hex, "timestamp": time.time(), "platform": "python", "release": "probe@1"}
    event["exception"] = {"values": [{"type": "Probe", "value": "an error of nobody"}]}
    lines = [{"event_id": event["event_id"]}, {"type": "event"}, event]
    url = f"{URL}/api/{project}/envelope/"
    headers = [f"X-Sentry-Auth: Sentry sentry_version=7, sentry_key={key}"] if key else []
    return ask(fleet, server, "--data-binary", "\n".join(map(json.dumps, lines)), url, headers=headers)[0]


def issues(fleet):
    """Return {type of error: its issue}, the newest of each."""
    found = read(fleet, "issues/?project=1&sort=last_seen&order=desc")[1]["results"]
    return {issue["calculated_type"]: issue for issue in reversed(found)}


def count(fleet, kind):
    """Return how many events of the type ``kind`` have arrived, ever."""
    return issues(fleet).get(kind, {"digested_event_count": 0})["digested_event_count"]


def sql(fleet, statement):
    fleet.ok("sentry", "setpriv", "--reuid=bugsink", "--clear-groups", "python3", "-c", SQL, DATABASE, statement)


def boom(fleet, times=1):
    """Let web fail as often; return the seconds that it took at most to say so."""
    command = ["curl", "--silent", "--max-time", "20", "--write-out", "%{http_code} %{time_total}\n"]
    said = fleet.ok("world", *command, f"{web.SITE}/boom?[1-{times}]", "--output", "/dev/null").split()
    assert said[::2] == ["500"] * times
    return max(map(float, said[1::2]))


def test_an_error_of_web_arrives_with_its_release_and_no_secret(fleet):
    before = count(fleet, "Boom")
    boom(fleet)
    assert json.loads(web.get(fleet, "/boom")[1]) == {"error": "internal error"}
    fleet.eventually(lambda: count(fleet, "Boom") == before + 2, 20)
    issue = issues(fleet)["Boom"]
    newest = read(fleet, f"events/?issue={issue['id']}")[1]["results"][0]
    event = read(fleet, f"events/{newest['id']}/")[1]["data"]
    version = json.loads(web.get(fleet, "/version")[1])["version"]
    assert (event["release"], event["environment"]) == (f"insync-web@{version}", "production")
    assert event["server_name"] in ("web02", "web-lb02")
    assert event["transaction"] == "GET /boom"
    frame = event["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"]) == ("boom", "insync_core/drills.py")
    assert event["release"] in [release["version"] for release in read(fleet, "releases/?project=1")[1]["results"]]
    shown = json.dumps(event)
    assert web.leaked(shown) == []


@pytest.mark.parametrize(
    "key, project, server, status",
    [
        (KEY, 1, "web02", 200),
        ("0" * 32, 1, "web02", 403),
        (KEY, 2, "web02", 403),
        (None, 1, "web02", 403),
        (KEY, 1, "license01", 0),
        (KEY, 1, "world", 0),
    ],
)
def test_an_event_needs_the_key_of_its_project_and_a_declared_client(fleet, key, project, server, status):
    assert send(fleet, key=key, project=project, server=server) == status


@pytest.mark.parametrize(
    "token, server, status",
    [(TOKEN, "sentry", 200), (None, "sentry", 401), ("0" * 40, "sentry", 401), (TOKEN, "web02", 403)],
)
def test_who_reads_needs_the_token_and_comes_from_the_server_itself(fleet, token, server, status):
    assert read(fleet, "issues/?project=1", server=server, token=token)[0] == status


def test_the_token_changes_nothing(fleet):
    issue = next(iter(issues(fleet).values()))
    headers = [f"Authorization: Bearer {TOKEN}"]
    assert ask(fleet, "sentry", "--request", "DELETE", f"{API}/issues/{issue['id']}/", headers=headers)[0] == 403
    options = ["--header", "Content-Type: application/json", "--data", '{"name": "mallory"}', f"{API}/teams/"]
    assert ask(fleet, "sentry", *options, headers=headers)[0] == 403


def test_the_administrator_logs_in_with_the_declared_password_only(fleet):
    def ends(password):
        stdin = json.dumps([URL, CA, ADMIN, password])
        return fleet.ok("sentry", "python3", "-c", LOG_IN, stdin=stdin).strip()

    assert ends(PASSWORD).startswith(f"{URL}/teams/")
    assert ends("wrong").startswith(f"{URL}/accounts/login/")
    assert ask(fleet, "web02", f"{URL}/accounts/login/")[0] == 403
    assert ask(fleet, "sentry", f"{URL}/accounts/signup/")[0] in (403, 404), "nobody makes an account for himself"


def test_an_operator_logs_in_with_a_browser_through_ssh(fleet):
    """As docs/roles/sentry.md tells; the browser is curl."""
    hosts, services = INVENTORY["hosts"], INVENTORY["services"]
    quiet = "-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    port, gateway = services["ssh"]["port"], services["ssh-gateway"]["port"]
    jump = f"ssh {quiet} -p {gateway} -W %h:%p alice@{hosts['ct1']['public']}"
    ssh = ["ssh", *quiet.split(), "-o", f"ProxyCommand={jump}", "-p", str(port), f"alice@{hosts['sentry']['private']}"]
    far = "python3 /usr/local/lib/insync-bugsink/tunnel.py sentry.insync.internal 443"
    near = ["systemd-socket-activate", "--listen=127.0.0.1:8443", "--accept", "--inetd", *ssh, far]
    fleet.ok("world", "sh", "-c", "cat > /run/fleet-ca.crt", stdin=fleet.ok("sentry", "cat", CA))
    fleet.ok("world", "systemd-run", "--quiet", "--unit=tunnel", "--uid=alice", *near)
    try:
        said = fleet.ok("world", "sh", "-c", BROWSE, URL, ADMIN, stdin=PASSWORD)
    finally:
        fleet.ok("world", "systemctl", "stop", "tunnel")
    assert said.split() == ["302", f"{URL}:8443/teams/"]


@pytest.mark.parametrize("off, on", [("stop", "start"), ("kill --signal=STOP", "kill --signal=CONT")])
def test_web_answers_as_fast_without_it(fleet, off, on):
    """Stopped, nothing listens; held, connections are taken and never answered."""
    fleet.ok("sentry", "sh", "-c", f"systemctl {off} nginx")
    try:
        slowest = boom(fleet, 20)
        assert web.get(fleet, "/")[0] == 200
    finally:
        fleet.ok("sentry", "sh", "-c", f"systemctl {on} nginx")
    assert slowest < 1
    before = count(fleet, "Boom")
    boom(fleet)
    fleet.eventually(lambda: count(fleet, "Boom") > before, 20, why="web sends nothing any more")


def test_killed_it_comes_back_and_works_on(fleet):
    before = count(fleet, "Probe")
    pids = [web.main_pid(fleet, "sentry", unit) for unit in UNITS]
    fleet.ok("sentry", "kill", "-KILL", *pids)
    fleet.eventually(lambda: send(fleet) == 200, 30)
    fleet.eventually(lambda: count(fleet, "Probe") > before, 30)


def test_events_that_are_too_old_are_removed(fleet):
    send(fleet)
    issue = fleet.eventually(lambda: issues(fleet).get("Probe"), 20)
    old = read(fleet, f"events/?issue={issue['id']}&order=asc")[1]["results"][0]["id"]
    sql(fleet, f"UPDATE events_event SET digested_at = '2020-01-01' WHERE id = '{old.replace('-', '')}'")
    send(fleet)
    assert fleet.eventually(lambda: count(fleet, "Probe") > issue["digested_event_count"], 20)
    fleet.ok("sentry", "systemctl", "start", "bugsink-retention")
    left = [event["id"] for event in read(fleet, f"events/?issue={issue['id']}")[1]["results"]]
    assert left and old not in left
    listed = fleet.ok("sentry", "systemctl", "list-timers", "bugsink-retention.timer")
    assert "bugsink-retention.service" in listed


def test_no_more_events_are_kept_than_declared_and_what_was_changed_by_hand_is_mended(fleet):
    sql(fleet, "UPDATE projects_project SET retention_max_event_count = 3, name = 'by hand'")
    sql(fleet, "UPDATE auth_user SET password = 'by hand', is_superuser = 0")
    sql(fleet, "UPDATE bsmain_authtoken SET teams_manage = 1")
    before = count(fleet, "Probe")
    for _ in range(5):
        assert send(fleet) == 200
    fleet.eventually(lambda: count(fleet, "Probe") >= before + 5, 20)
    assert read(fleet, "projects/1/")[1]["stored_event_count"] <= 3
    (states,) = fleet.highstate("sentry", "test=True").values()
    assert planned(states) == ["bugsink-accounts"]
    (states,) = fleet.highstate("sentry").values()
    assert (failed(states), changed(states)) == ([], ["bugsink-accounts"])
    (mended,) = [state["changes"] for state in states if state["changes"]]
    assert sorted(mended) == [
        f"administrator {ADMIN}",
        "max_events of project web",
        "name of project web",
        f"password of {ADMIN}",
        "token that reads",
    ]
    assert web.leaked(str(states)) == []
