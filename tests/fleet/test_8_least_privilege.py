"""Who may do what on the web path: accounts, tokens, units and secrets, tried with the real ones; and wrong input."""

import base64
import json
import re

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed, planned
from tests.fleet.web import SECRETS

HOSTS = INVENTORY["hosts"]
APPS = [
    ("web-lb02", "web@"),
    ("license01", "license@"),
    ("beanstalkd", "mailer"),
    ("beanstalkd", "periodic_mailer"),
    ("ct1", "conf_server"),
    ("radar-2", "radar"),
    ("mrkr-web-lb", "mrkr"),
]

SQL = """
import json, sys, pymysql
ask = json.load(sys.stdin)
# As text PyMySQL would send it in latin1.
ask["login"]["password"] = ask["login"]["password"].encode()
try:
    with pymysql.connect(host="db.insync.internal", connect_timeout=5, **ask["login"]) as connection:
        with connection.cursor() as cursor:
            cursor.execute(ask["sql"])
            print(json.dumps("allowed"))
except pymysql.MySQLError as exc:
    print(json.dumps(exc.args[0]))
"""
TLS = {"ca": "/etc/insync/fleet-ca.crt"}
# MariaDB's numbers for what it refuses: a login, a command on a table, another right, an unknown account, no TLS.
LOGIN, COMMAND, RIGHT, ACCOUNT, INSECURE = 1045, 1142, 1227, 1698, 3159


def sql(fleet, server, app, statement, password=None, tls=TLS):
    """Return "allowed", or the number of MariaDB's error, for the account of ``app`` from ``server``."""
    secret = SECRETS["mysql_primary"][f"{app}_password"] if password is None else password
    # Without further words PyMySQL would take TLS where the server offers it.
    login = {"user": app, "password": secret, **({"ssl": tls} if tls else {"ssl_disabled": True})}
    python = f"/insync/venv/{'web' if server.startswith('web') else app}/bin/python"
    asked = json.dumps({"login": login, "sql": statement})
    return json.loads(fleet.ok(server, python, "-c", SQL, stdin=asked))


@pytest.mark.parametrize(
    "server, app, statement, answer",
    [
        ("web02", "web", "SELECT COUNT(*) FROM insync.users", "allowed"),
        ("web02", "web", "DELETE FROM insync.users", COMMAND),
        ("web02", "web", "UPDATE insync.users SET digest = 1", COMMAND),
        ("web02", "web", "DROP TABLE insync.users", COMMAND),
        ("web02", "web", "CREATE TABLE insync.mine (id INT)", COMMAND),
        ("web02", "web", "SELECT * FROM insync_mail.sent_mail", COMMAND),
        ("web02", "web", "SELECT body FROM insync_outbox.mails", COMMAND),
        ("web02", "web", "UPDATE insync_outbox.mails SET delivered_at = NULL", COMMAND),
        ("web02", "web", "SELECT * FROM mysql.global_priv", COMMAND),
        ("web02", "web", "INSERT INTO insync_license.licenses VALUES ('x', 'y', 1)", COMMAND),
        ("web02", "web", "INSERT INTO insync_digest.digests (period, user_id) VALUES (1, 1)", COMMAND),
        ("web02", "web", "CREATE USER mine@localhost", RIGHT),
        ("web02", "web", "SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/x'", RIGHT),
        ("license01", "license", "SELECT plan FROM insync_license.licenses", "allowed"),
        ("license01", "license", "INSERT INTO insync_license.licenses VALUES ('x', 'y', 1)", COMMAND),
        ("beanstalkd", "mailer", "SELECT COUNT(*) FROM insync_mail.sent_mail", "allowed"),
        ("beanstalkd", "mailer", "SELECT * FROM insync.users", COMMAND),
        ("beanstalkd", "mailer", "INSERT INTO insync_outbox.mails (id, body) VALUES ('x', 'y')", COMMAND),
        ("beanstalkd", "periodic_mailer", "SELECT body FROM insync_outbox.mails", COMMAND),
        ("beanstalkd", "periodic_mailer", "SELECT COUNT(*) FROM insync.users", "allowed"),
        ("beanstalkd", "periodic_mailer", "INSERT INTO insync.users (email) VALUES ('x')", COMMAND),
    ],
)
def test_a_database_account_can_do_what_it_needs_and_no_more(fleet, server, app, statement, answer):
    assert sql(fleet, server, app, statement) == answer


def test_the_database_refuses_a_wrong_password_a_foreign_server_and_a_login_without_tls(fleet):
    assert sql(fleet, "web02", "web", "SELECT 1", password="wrong") == LOGIN
    assert sql(fleet, "web02", "web", "SELECT 1", tls=None) in (LOGIN, INSECURE)
    # license's account, with the right password, from a server of web's.
    assert sql(fleet, "web02", "license", "SELECT 1") in (LOGIN, ACCOUNT)


def conf_server(fleet, token, namespace):
    """Return the status with which the conf server answers; the token goes in on standard input."""
    url = f"https://ct1.insync.internal:{INVENTORY['services']['conf-server']['port']}/v1/conf/{namespace}"
    command = [
        "curl",
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "--cacert",
        TLS["ca"],
        "--config",
        "-",
    ]
    return fleet.ok("web02", *command, url, stdin=f'header = "Authorization: Bearer {token}"\n' if token else "")


def test_a_token_opens_its_own_namespace_only(fleet):
    tokens = SECRETS["conf_server"]
    assert conf_server(fleet, tokens["web_token"], "web") == "200"
    assert conf_server(fleet, tokens["web_token"], "mailer") == "403"
    assert conf_server(fleet, "wrong", "web") == "401"
    assert conf_server(fleet, "", "web") == "401"
    assert conf_server(fleet, tokens["admin_token"], "nosuch") == "404"


def test_the_relay_takes_nothing_without_tls_and_the_right_password(fleet):
    talk = """
import smtplib, ssl, sys
with smtplib.SMTP("smtp.cloud.test", 587, timeout=10) as relay:
    codes = [relay.docmd("MAIL FROM:<a@b.test>")[0]]
    relay.starttls(context=ssl.create_default_context())
    relay.ehlo()
    codes.append(relay.docmd("MAIL FROM:<a@b.test>")[0])
    try:
        relay.login("insync", "wrong")
    except smtplib.SMTPAuthenticationError as exc:
        codes.append(exc.smtp_code)
print(codes)
"""
    assert fleet.ok("beanstalkd", "python3", "-c", talk).strip() == "[530, 530, 535]"


# The units.


UNITS = [
    *APPS,
    ("web-lb02", "haproxy"),
    ("db", "mariadb"),
    ("ct1", "fail2ban"),
    ("ct1", "nginx"),
    ("redis", "redis-server@main"),
    ("redis", "redis-server@cache"),
    ("beanstalkd", "beanstalkd"),
    ("dev", "devpi"),
    ("dev", "hgweb"),
    ("dev", "nginx"),
    ("sentry", "bugsink"),
    ("sentry", "bugsink-snappea"),
    ("sentry", "nginx"),
    ("insynchq-support", "misago"),
    ("insynchq-support", "misago-worker"),
    ("insynchq-support", "misago-redis"),
    ("insynchq-support", "postgresql@15-main"),
    ("insynchq-support", "nginx"),
    ("drone", "buildbot"),
    ("drone", "buildbot-worker"),
    ("drone", "nginx"),
    ("drone-test", "buildbot"),
    ("drone-test", "buildbot-worker"),
    ("drone-test", "nginx"),
    ("radar-2", "nginx"),
    ("mrkr-web-lb", "nginx"),
    ("staging", "haproxy"),
    ("staging", "mail-sink"),
    ("staging", "mariadb"),
    ("insynchq-web-staging", "beanstalkd"),
    ("insynchq-web-staging", "mail-sink"),
    ("wiki", "mediawiki"),
    ("wiki", "nginx"),
]


def serving(fleet, server, unit):
    """The unit, of one with slots the one that serves."""
    return web.active_unit(fleet, server, unit.removesuffix("@")) if unit.endswith("@") else unit


@pytest.mark.alone
@pytest.mark.parametrize("server, unit", UNITS)
def test_a_unit_is_hardened_limited_and_comes_back(fleet, server, unit):
    unit = serving(fleet, server, unit)
    wanted = "CapabilityBoundingSet,User,NoNewPrivileges,ProtectSystem,MemoryMax,Restart,StartLimitIntervalUSec"
    shown = fleet.ok(server, "systemctl", "show", f"--property={wanted}", unit)
    facts = dict(line.split("=", 1) for line in shown.splitlines())
    capabilities = set(facts.pop("CapabilityBoundingSet").split())
    # One that begins as root, to bind its ports, keeps little of it.
    assert facts.pop("User") not in ("", "root") or len(capabilities) < 8
    assert int(facts.pop("MemoryMax")) <= 1536 * 2**20
    # Nobody starts it by hand after it has failed for a while.
    assert (facts.pop("Restart"), facts.pop("StartLimitIntervalUSec")) == ("always", "0")
    assert facts == {"NoNewPrivileges": "yes", "ProtectSystem": "strict"}


@pytest.mark.parametrize("server, unit", APPS)
def test_a_unit_can_write_nothing_but_its_own(fleet, server, unit):
    unit = serving(fleet, server, unit)
    shown = fleet.ok(
        server, "systemctl", "show", "--property=User,NoNewPrivileges,ProtectSystem,MemoryMax,Restart", unit
    )
    facts = dict(line.split("=", 1) for line in shown.splitlines())
    assert facts["User"].startswith("insync-") and facts["NoNewPrivileges"] == "yes"
    assert (facts["ProtectSystem"], facts["Restart"]) == ("strict", "always")
    assert int(facts["MemoryMax"]) <= 512 * 2**20
    pid = web.main_pid(fleet, server, unit)
    for path in ("/etc", "/usr", "/insync/venv", "/var/lib/insync", "/srv"):
        # As root, in what the unit sees: that root cannot do it either shows that the sandbox is real.
        done = fleet.run(server, "nsenter", "--target", pid, "--mount", "--", "touch", f"{path}/probe")
        assert "Read-only file system" in done.stderr, f"{path}: {done.stderr or 'written'}"
    environ = fleet.ok(server, "cat", f"/proc/{pid}/environ")
    assert not [value for values in SECRETS.values() for value in values.values() if value in environ]
    owner = fleet.ok(server, "stat", "--format=%U %a", f"/var/lib/{facts['User']}").split()
    assert owner == [facts["User"], "700"]


WHERE = [
    "ct1",
    "web-lb02",
    "web02",
    "license01",
    "beanstalkd",
    "db",
    "redis",
    "dev",
    "wiki",
    "sentry",
    "insynchq-support",
    "drone",
    "drone-test",
    "staging",
]
PROBE = "/run/probe"
KEYS = (
    "/etc/insync/*/credentials/tls_key /etc/mysql/tls.pem /etc/redis/tls.pem /etc/nginx/insync.key "
    "/etc/insync/certificates/*.pem"
)
READABLE = "/etc /var/lib /var/cache /insync /opt /srv /usr/local -xdev -type f -perm /o+r -size -1048576c"
LOGS = "/var/log /run/log /tmp /etc/systemd /run/systemd/system /var/cache/salt/master/jobs"
PLACES = (
    f"grep -rlaFf {PROBE} --exclude=*.journal {LOGS}",
    f"find {READABLE} -print0 | xargs -0 grep -laFf {PROBE}",
    f"journalctl --no-pager --output=cat | grep -aFf {PROBE}",
    # A line for each: what is in the same one as the canary would be taken for it.
    f"for one in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $one; echo; done 2>/dev/null | grep -aFf {PROBE}",
)


CANARY = "a-canary-that-lies-open"
# Where it lies as a file: in one place of each kind that is searched.
LAID = ("/etc/systemd/canary", "/var/log/canary", "/run/systemd/system/canary")


@pytest.fixture
def canary(fleet, request):
    """A secret that lies in all of those places: what does not find it would find no other."""
    server = request.getfixturevalue("server")
    program = "python3 -c 'import time; time.sleep(900)'"
    lay = f"for file in {' '.join(LAID)}; do echo {CANARY} > $file; chmod 0644 $file; done"
    fleet.ok(server, "sh", "-c", f"{lay}; systemd-run --quiet --unit=canary {program} {CANARY}")
    yield
    fleet.run(server, "systemctl", "stop", "canary")
    fleet.ok(server, "rm", *LAID)


def private_lines(body):
    """Each line of the ``body`` of a key in PEM is a secret, but for those of an elliptic curve's public point."""
    lines = body.split()
    point = re.search(rb"\x03[\x42\x62]\x00\x04", base64.b64decode("".join(lines)))
    # A line of PEM is 48 bytes. The point is in requests for a certificate too, as certbot's log has them.
    return [line for number, line in enumerate(lines) if len(line) > 20 and (not point or number * 48 < point.start())]


@pytest.mark.parametrize("server", WHERE)
def test_no_secret_lies_open(fleet, server, canary):
    """Not in logs, job returns, unit files, process lists, or any file that everybody may read."""
    secrets = [value for role, values in SECRETS.items() if role != "base" for value in values.values()]
    keys = fleet.run(server, "sh", "-c", f"cat {KEYS}").stdout
    bodies = re.findall(r"BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", keys, re.DOTALL)
    secrets += [line for body in bodies for line in private_lines(body)]
    shapes = {shape for secret in secrets for shape in web.shapes(secret)}
    fleet.ok(server, "sh", "-c", f"umask 077; cat > {PROBE}", stdin="\n".join([*shapes, CANARY]) + "\n")
    try:
        for script in PLACES:
            found = fleet.run(server, "sh", "-c", script).stdout.splitlines()
            assert found, f"{server}: {script}: does not even find the canary"
            assert [line for line in found if "canary" not in line] == [], f"{server}: {script}"
            assert script != PLACES[0] or set(LAID) <= set(found)
    finally:
        fleet.ok(server, "rm", PROBE)


# Wrong input: one clear line, and what runs goes on.


def single(fleet, server, function, **arguments):
    """Apply one state on ``server``; return what it reports."""
    given = [f"{key}={json.dumps(value)}" for key, value in arguments.items()]
    (states,) = fleet.salt(server, "state.single", function, *given).values()
    assert isinstance(states, dict), states
    return next(iter(states.values()))


HASH = " --hash=sha256:" + "0" * 64
LOCKS = {
    "a package that is not there": ("insync-nosuch==1.0.0" + HASH, "insync-nosuch"),
    "a version that is not there": ("insync-web==9.9.9" + HASH, "no version of insync-web==9.9.9"),
    "a wrong hash": ("insync-web==1.0.0" + HASH, "Hash mismatch for `insync-web==1.0.0`"),
}


def probe(fleet, lock):
    """Install an application that web02 does not have, as a blank server would; return what the state reports."""
    index = "https://dev.insync.internal/insync/stable/+simple/"
    arguments = {"link": "/insync/venv/probe", "slots": {"main": 8199}, "index": index, "ca": TLS["ca"]}
    return single(fleet, "web02", "insync_release.serving", name="probe", lock=lock + "\n", **arguments)


@pytest.mark.parametrize("case", LOCKS)
def test_what_the_index_does_not_have_is_one_line_and_leaves_nothing(fleet, case):
    lock, message = LOCKS[case]
    result = probe(fleet, lock)
    assert (result["result"], result["changes"]) == (False, {})
    assert message in result["comment"] and "\n" not in result["comment"]
    assert fleet.run("web02", "sh", "-c", "ls -d /insync/venv/probe*").stdout == ""
    assert web.missing(fleet, "web02") == []


@pytest.mark.alone
def test_an_index_that_is_down_is_one_line_and_what_runs_goes_on(fleet):
    with web.Stopped(fleet, "dev", "nginx"):
        result = probe(fleet, LOCKS["a wrong hash"][0])
        assert (result["result"], result["changes"]) == (False, {})
        assert "dev.insync.internal" in result["comment"] and "\n" not in result["comment"]
        assert web.missing(fleet, "web02") == []
        (states,) = fleet.highstate("web02").values()
        assert (failed(states), changed(states)) == ([], []), "what is installed needs no index"


MYSQL = INVENTORY["services"]["mysql"]["port"]
LISTENER = f'import socket, time; one = socket.create_server(("", {MYSQL})); time.sleep(600)'
# Something else has its port, or somebody does not want it to run.
HINDRANCES = {
    "Address already in use": (
        f"systemctl stop mariadb; systemd-run --quiet --unit=squatter python3 -c '{LISTENER}'; sleep 1",
        "systemctl stop squatter",
    ),
    "'systemctl unmask mariadb'": (
        "systemctl mask --runtime --now mariadb",
        "systemctl unmask --runtime mariadb",
    ),
}


@pytest.mark.parametrize("reason", HINDRANCES)
def test_a_database_that_cannot_start_fails_by_name_and_a_later_run_recovers(fleet, reason):
    hinder, mend = HINDRANCES[reason]
    fleet.ok("db", "sh", "-c", hinder)
    try:
        (states,) = fleet.highstate("db").values()
    finally:
        fleet.ok("db", "sh", "-c", mend)
    assert "mariadb-service" in failed(states)
    said = {state["__id__"]: state["comment"] for state in states if state["result"] is False}
    assert reason in said["mariadb-service"] and "\n" not in said["mariadb-service"]
    assert "Traceback" not in str(said)
    (states,) = fleet.highstate("db").values()
    assert failed(states) == []
    fleet.eventually(lambda: web.missing(fleet, "web02") == [], 30, why="web02 did not recover")


OWED = {
    "redis": ("/etc/redis/users-main.conf", ["redis-main-service"]),
    "beanstalkd": (
        "/etc/default/beanstalkd /etc/insync/mailer/settings.json",
        ["app-mailer-release", "beanstalkd-service"],
    ),
    "dev": (
        "/etc/systemd/system/devpi.service /etc/hg/hgweb.config /etc/nginx/nginx.conf",
        ["devpi-service", "hg-service", "nginx-service"],
    ),
    "db": ("/etc/mysql/tls.pem", ["mariadb-service"]),
    "web-lb02": ("/etc/haproxy/haproxy.cfg", ["haproxy-service"]),
}


@pytest.mark.alone
def test_a_restart_that_an_earlier_run_did_not_come_to_is_made_up_for(fleet):
    """Its files are as declared, and newer than what has read them."""
    pid = web.main_pid(fleet, "web-lb02", "haproxy")
    for server, (files, _) in OWED.items():
        fleet.ok(server, "touch", *files.split())
    foretold = {server: planned(states) for server, states in fleet.highstate(list(OWED), "test=True").items()}
    done = fleet.highstate(list(OWED))
    assert foretold == {server: states for server, (_, states) in OWED.items()}
    for server, states in done.items():
        assert (failed(states), changed(states)) == ([], OWED[server][1]), server
    for server, states in fleet.highstate(list(OWED)).items():
        assert (failed(states), changed(states)) == ([], []), server
    assert web.main_pid(fleet, "web-lb02", "haproxy") == pid, "reloaded, not restarted"
    fleet.eventually(lambda: web.get(fleet, "/version")[0] == 200, 30)


@pytest.mark.parametrize(
    "declared, message",
    [
        ({"greeting": None}, "greeting: has no value"),
        ({"mysql": {"connect": "nosuch"}}, "mysql: there is no service 'nosuch'"),
        ({"mysql": {"password": {"secret": "nobody:has"}}}, "there is no secret nobody:has"),
        ({"": "text"}, "nothing was loaded"),
        ({"greeting": ""}, "greeting: is empty"),
        ({"mysql": {"host": "db", "port": 70000}}, "mysql.port: is not a whole number from 1 to 65535"),
        ({"mysql": {"host": "db", "port": "many"}}, "mysql.port: is not a whole number from 1 to 65535"),
        ({"mysql": "text"}, "mysql: has no host and port"),
        ({"greeting": True}, "greeting: is true or false, not a text"),
        ("text", "is a text, where settings by their names are wanted"),
    ],
)
def test_a_malformed_setting_is_named_and_nothing_is_loaded(fleet, declared, message):
    before = json.loads(web.get(fleet, "/version")[1])["conf_rev"]
    command = [web.JT, "sconf", "load", "-", "--ns", "web", "--json"]
    result = single(
        fleet,
        "ct1",
        "insync_conf.loaded",
        name="web",
        declared=declared,
        command=command,
        environment=web.JT_FINDS,
        numbers={"port": [1, 65535]},
    )
    assert (result["result"], result["changes"]) == (False, {})
    assert message in result["comment"] and "\n" not in result["comment"]
    assert json.loads(web.get(fleet, "/version")[1])["conf_rev"] == before


def test_no_highstate_moves_or_restarts_a_release(fleet):
    unit = web.active_unit(fleet, "web02")
    before = web.main_pid(fleet, "web02", unit)
    record = fleet.ok("web02", "cat", "/var/lib/insync/web/state.json")
    fleet.ok(
        "web02",
        "sh",
        "-c",
        "echo '# by hand' >> /etc/systemd/system/web@.service; echo {} > /etc/insync/web/settings.json",
    )
    (states,) = fleet.highstate("web02").values()
    assert (failed(states), changed(states)) == ([], ["app-web-settings", "app-web-unit"])
    assert web.main_pid(fleet, "web02", unit) == before
    assert fleet.ok("web02", "cat", "/var/lib/insync/web/state.json") == record
    fleet.ok("web02", "systemctl", "stop", unit)
    (states,) = fleet.highstate("web02").values()
    assert changed(states) == ["app-web-release"], "what is stopped is started"
    fleet.eventually(lambda: web.missing(fleet, "web02") == [])
