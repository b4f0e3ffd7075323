"""www.insynchq-test.com and beta.insynchq.com: the web path again, behind a password, with all of its own."""

import base64
import json

import pytest
import yaml

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, ROOT

pytestmark = pytest.mark.alone

NAMES = INVENTORY["services"]["https"]["names_in"]
SERVERS = {host["environment"]: name for name, host in INVENTORY["hosts"].items() if "environment" in host}
VISITOR = ["--user", "insync:lab preview 4d"]
KEPT = "/var/lib/private/mail-sink/mail/new"
environments = pytest.mark.parametrize("environment", sorted(SERVERS))


def ask(fleet, environment, path="/", *options):
    """Return (status, headers, body) of a request from the internet; options are curl's."""
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--include", *options]
    said = fleet.run("world", *command, f"https://{NAMES[environment][0]}{path}").stdout
    head, _, body = said.replace("\r\n", "\n").partition("\n\n")
    status, *headers = head.splitlines() or [""]
    return int((status.split() + ["0", "0"])[1]), {line.lower() for line in headers}, body


def version(fleet, environment):
    return json.loads(ask(fleet, environment, "/version", *VISITOR)[2])


def table(fleet, server, email):
    """Return how often ``email`` is among the users that the database on ``server`` knows."""
    told = base64.b64encode(email.encode()).decode()
    query = f"SELECT COUNT(*) FROM insync.users WHERE email = FROM_BASE64('{told}')"
    return int(fleet.ok(server, "mariadb", "--batch", "--skip-column-names", "--execute", query))


def kept(fleet, server, email):
    """Return how many mails to ``email`` the keeper of mail on ``server`` has."""
    return len(fleet.run(server, "grep", "-rlF", f"Delivered-To: {email}", KEPT).stdout.split())


@environments
def test_only_those_who_know_the_password_see_it(fleet, environment):
    fleet.eventually(lambda: ask(fleet, environment, "/", *VISITOR)[0] == 200, why=f"{environment} does not answer")
    assert ask(fleet, environment)[0] == 401
    for wrong in ("insync:wrong", "insync:", "other:lab preview 4d"):
        status, headers, body = ask(fleet, environment, "/version", "--user", wrong)
        assert (status, "release" in body) == (401, False), wrong
        assert "x-robots-tag: noindex, nofollow" in headers
    status, headers, body = ask(fleet, environment, "/", *VISITOR)
    assert status == 200 and "Insync" in body
    assert "x-robots-tag: noindex, nofollow" in headers


CLEAR = """
import socket
with socket.socket(socket.AF_UNIX) as there:
    there.connect("/run/haproxy/admin.sock")
    there.sendall(b"clear table b_guesses\\n")
    print(there.recv(1000).decode())
"""


@environments
def test_who_guesses_the_password_is_not_asked_any_more(fleet, environment):
    limit = yaml.safe_load((ROOT / "pillar" / "role" / "preview.sls").read_text())["preview"]["wrong_passwords"]
    # Other tests have sent wrong ones too.
    fleet.ok(SERVERS[environment], "python3", "-c", CLEAR)
    for _ in range(limit + 5):
        assert ask(fleet, environment)[0] == 401, "who sends none guesses nothing"
    status = ["--output", "/dev/null", "--write-out", "%{http_code}\n", "--silent"]
    name, address = NAMES[environment][0], INVENTORY["hosts"][SERVERS[environment]]["public"]
    try:
        said = fleet.ok("world", "curl", *status, "--user", "insync:guessed", f"https://{name}/[1-{limit + 5}]").split()
        assert said == ["401"] * limit + ["429"] * 5
        assert ask(fleet, environment, "/", *VISITOR)[0] == 429
        known = ["--insecure", "--resolve", f"{name}:443:{address}", *VISITOR]
        assert fleet.ok("cloud", "curl", *status, *known, f"https://{name}/") == "200\n", "others do not notice"
    finally:
        fleet.ok(SERVERS[environment], "python3", "-c", CLEAR)
    assert ask(fleet, environment, "/", *VISITOR)[0] == 200


@environments
def test_http_leads_to_https_and_other_names_lead_nowhere(fleet, environment):
    (name,), address = NAMES[environment], INVENTORY["hosts"][SERVERS[environment]]["public"]
    command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}"]
    assert fleet.ok("world", *command, f"http://{name}/a?b=c") == f"301 https://{name}/a?b=c"
    other = ["--resolve", f"www.insynchq.com:80:{address}", "http://www.insynchq.com/"]
    assert fleet.ok("world", *command, *other).split()[0] == "421"


@environments
def test_a_sign_up_stays_there_and_its_mail_reaches_nobody(fleet, environment):
    server, email = SERVERS[environment], web.address(environment)
    told = ["--header", "Content-Type: application/json", "--data", json.dumps({"email": email})]
    assert ask(fleet, environment, "/signup", *VISITOR, *told)[0] == 201
    fleet.eventually(lambda: kept(fleet, server, email), 60, why=f"no mail in the keeper on {server}")
    assert (table(fleet, server, email), table(fleet, "db", email)) == (1, 0)
    others = [other for other in SERVERS.values() if other != server]
    assert [table(fleet, other, email) for other in others] == [0] * len(others)
    assert web.mails_to(fleet, email) == [], "the real relay never saw it"


def test_beta_shows_a_newer_release_than_www(fleet):
    numbers = {
        "www": json.loads(web.get(fleet, "/version")[1])["version"],
        **{environment: version(fleet, environment)["version"] for environment in SERVERS},
    }
    parsed = {name: [int(part) for part in number.split(".")] for name, number in numbers.items()}
    assert parsed["beta"] > parsed["www"], numbers
    assert parsed["beta"] > parsed["staging"], numbers


def test_a_release_verb_moves_what_its_servers_belong_to(fleet):
    before = {name: version(fleet, name)["pid"] for name in SERVERS}
    www = web.main_pid(fleet, "web02", web.active_unit(fleet, "web02"))
    server = SERVERS["staging"]
    answer = fleet.salt(server, "insync.restart_web")[server]
    assert answer["changes"] and list(answer["changes"]) != [], answer
    assert version(fleet, "staging")["pid"] != before["staging"]
    assert version(fleet, "beta")["pid"] == before["beta"]
    assert web.main_pid(fleet, "web02", web.active_unit(fleet, "web02")) == www
    found = json.loads(fleet.ok("ct1", "salt-run", "insync.release_status", "staging-web", "--out=json"))
    assert list(found["staging-web"]["servers"]) == [server]


@environments
def test_no_password_of_production_opens_anything_there(fleet, environment):
    server = SERVERS[environment]
    password = web.SECRETS["redis"]["web_password"]
    logins = [{"username": "web", "password": word} for word in (password, f"{password} of {environment}")]
    told = {"asked": [(login, [["PING"]]) for login in logins], "port": INVENTORY["services"]["redis"]["port"]}
    script = web.REDIS.replace("redis.insync.internal", f"{server}.insync.internal")
    said = fleet.ok(server, "/insync/venv/web/bin/python", "-c", script, stdin=json.dumps(told))
    refused, answered = [json.loads(line) for line in said.splitlines()]
    assert "invalid username-password pair" in refused[0], refused
    assert answered == [True]
