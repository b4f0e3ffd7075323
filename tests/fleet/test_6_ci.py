"""CI: what is pushed is built, tested and published by one server, and tested by another, which publishes nothing."""

import hashlib
import json
import time

import insync_inventory
import pytest

from tests.fleet import test_6_hg as repositories
from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed
from tests.fleet.web import SECRETS

CI, TESTS, INDEX, CLIENT = (
    insync_inventory.hosts_with(INVENTORY, role)[0] for role in ("ci", "ci_integration", "pypi_server", "web")
)
# Of whom lab/fake_secrets.yaml has the hashes.
PASSWORDS = {CI: "lab ci 'alice' #2 %", TESTS: "lab integration 'alice' #3 %"}
UPLOADER = SECRETS["pypi_server"]["ci_password"]
STAGING, STABLE = (f"https://{INDEX}.insync.internal/insync/{index}" for index in ("staging", "stable"))
CA = "/etc/insync/fleet-ca.crt"
# Buildbot's numbers for what came of a build.
GREEN, WARNED, RED = 0, 1, 2
CLONE = f"{repositories.HOME}/example"

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "insync-example"
version = "{version}"
[tool.setuptools]
py-modules = ["insync_example"]
"""
# It fails as well if it comes by anything that CI keeps to itself.
TEST = """
import os, pathlib, socket, unittest
import insync_example

class Test(unittest.TestCase):
    def test_version(self):
        self.assertEqual((insync_example.VERSION, "{good}"), ("{version}", "True"))
        self.assertIn("site-packages", insync_example.__file__)

    def test_nothing_of_ci_is_in_reach(self):
        kept = ("/etc/buildbot/credentials", "/var/lib/buildbot", "/var/cache/buildbot")
        for path in (*kept, "/run/credentials/buildbot-worker.service", "/run/credentials/buildbot.service"):
            with self.assertRaises((PermissionError, FileNotFoundError)):
                os.listdir(path)
        for path in ("/run/buildbot-www/sock", "/run/buildbot/worker.sock", "/run/buildbot-job.sock"):
            with socket.socket(socket.AF_UNIX) as connection, self.assertRaises(PermissionError):
                connection.connect(path)
        for left in (pathlib.Path("/tmp/left"), pathlib.Path("/var/tmp/left"), pathlib.Path("/dev/shm/left")):
            self.assertFalse(left.exists(), "a build before has left it")
            left.touch()
        others = [path for path in pathlib.Path("/proc").glob("[0-9]*") if path.stat().st_uid != os.getuid()]
        self.assertEqual((others, [name for name in os.environ if "CREDENTIALS" in name]), ([], []))
"""


@pytest.fixture(scope="module")
def clone(fleet):
    """alice's clone of the repository that CI builds."""
    with repositories.prepared(fleet):
        repositories.ok(fleet, "alice", "clone", f"{repositories.URL}/example", "example")
        yield


def push(fleet, version, good=True):
    """Push a change with ``version``, and a test that succeeds or not; return the changeset's id."""
    test = TEST.format(version=version, good=good)
    # What the integration tests find is as good as ever.
    files = {"pyproject.toml": PROJECT.format(version=version), "insync_example.py": f'VERSION = "{version}"\n'}
    files |= {"tests/test_it.py": test, "integration/test_it.py": test.replace('"False"', '"True"')}
    script = "import json, pathlib, sys\nfor name, text in json.load(sys.stdin).items():\n"
    script += "    path = pathlib.Path(sys.argv[1], name); path.parent.mkdir(exist_ok=True); path.write_text(text)\n"
    become = ["runuser", "-u", "alice", "--", "python3", "-c", script, CLONE]
    fleet.ok("world", *become, stdin=json.dumps(files))
    repositories.ok(fleet, "alice", "-R", "example", "commit", "--addremove", "-m", f"version {version}")
    repositories.ok(fleet, "alice", "-R", "example", "push")
    return repositories.ok(fleet, "alice", "-R", "example", "log", "-r", ".", "-T", "{node}").strip()


def ask(fleet, host, path, *options, password="", source="ct1"):
    """Return (status, answer) of CI on ``host``, as alice with ``password``; "" for nobody."""
    login = json.dumps(f"alice:{password}", ensure_ascii=False)
    command = ["curl", "--silent", "--max-time", "20", "--cacert", CA, "--config", "-", "--write-out", "\n%{http_code}"]
    stdin = f"user = {login}\n" if password else ""
    done = fleet.run(source, *command, *options, f"https://{host}.insync.internal/{path}", stdin=stdin)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), json.loads(body) if body.startswith("{") else body


def get(fleet, host, path):
    status, answer = ask(fleet, host, f"api/v2/{path}", password=PASSWORDS[host])
    assert status == 200, answer
    return answer


def built(fleet, host, revision, count=1):
    """Wait for ``count`` builds of ``revision`` on ``host``; return (result, what is said of it) of the last."""

    def builds():
        path = "api/v2/builds?order=-buildid&limit=5&property=got_revision"
        status, answer = ask(fleet, host, path, password=PASSWORDS[host])
        # Beside a build, on a machine that is busy, there may be no answer in time.
        assert status in (0, 200), answer
        return answer["builds"] if status else []

    def found():
        ended = [one for one in builds() if one["complete"]]
        same = [one for one in ended if one["properties"].get("got_revision", [""])[0] == revision]
        return (same[0]["results"], same[0]["state_string"]) if len(same) >= count else None

    return fleet.eventually(found, 120, why=lambda: f"{host} did not build {revision}: {builds()}")


def look_now(fleet, *hosts):
    """Do not wait until CI looks for news by itself."""
    for host in hosts:
        assert ask(fleet, host, "change_hook/poller?poller=example", password=PASSWORDS[host])[0] == 200


def said(fleet, host):
    """Return what the last build of a push on ``host`` said, all steps; the janitor's are builds, too."""
    builds = get(fleet, host, "builds?order=-buildid&limit=5&property=got_revision")["builds"]
    number = next(one["buildid"] for one in builds if one["properties"])
    texts = []
    for step in get(fleet, host, f"builds/{number}/steps")["steps"]:
        for log in get(fleet, host, f"steps/{step['stepid']}/logs")["logs"]:
            texts.append(ask(fleet, host, f"api/v2/logs/{log['logid']}/raw_inline", password=PASSWORDS[host])[1])
    return "".join(map(str, texts))


def offered(fleet, index=STAGING):
    """The page of the package in the index that builds go to, or in another."""
    return fleet.run(CLIENT, "curl", "--silent", "--cacert", CA, f"{index}/+simple/insync-example/").stdout


def new_version():
    return f"1.{time.time_ns() // 1_000_000}"


@pytest.fixture(scope="module")
def good(fleet, clone):
    """(version, revision) of a push that both have built."""
    version = new_version()
    revision = push(fleet, version)
    look_now(fleet, TESTS)
    # This one looks for itself.
    results = {host: built(fleet, host, revision) for host in (CI, TESTS)}
    assert results == {CI: (GREEN, "build successful"), TESTS: (GREEN, "build successful")}, said(fleet, CI)
    return version, revision


def test_what_is_pushed_is_built_tested_and_can_be_installed(fleet, good):
    version, _ = good
    uv, python = "/opt/salt/bin/uv --quiet --no-config --no-cache", "/tmp/ci-probe/bin/python"
    where = f"--python {python} --index-url {STAGING}/+simple/"
    steps = [
        "rm -rf /tmp/ci-probe",
        f"{uv} venv /tmp/ci-probe",
        f"SSL_CERT_FILE={CA} {uv} pip install {where} insync-example=={version}",
        '/tmp/ci-probe/bin/python -c "import insync_example; print(insync_example.VERSION)"',
        "rm -rf /tmp/ci-probe",
    ]
    assert fleet.ok(CLIENT, "sh", "-c", " && ".join(steps)).strip() == version


def test_no_build_says_a_password(fleet, good):
    for host in (CI, TESTS):
        text = said(fleet, host)
        assert "Ran 2 tests" in text
        assert web.leaked(text) == []


def test_what_fails_its_tests_is_red_and_not_published(fleet, good):
    version = new_version()
    revision = push(fleet, version, good=False)
    look_now(fleet, CI, TESTS)
    assert built(fleet, CI, revision) == (RED, "failed build (failure)")
    assert built(fleet, TESTS, revision) == (GREEN, "build successful"), "it has steps of its own"
    assert good[0] in offered(fleet) and version not in offered(fleet)


@pytest.mark.parametrize("host", [CI, TESTS])
def test_only_who_is_known_sees_and_starts_builds(fleet, host):
    order = json.dumps({"id": 1, "jsonrpc": "2.0", "method": "force", "params": {}})
    force = ["--header", "Content-Type: application/json", "--data", order]
    path = "api/v2/forceschedulers/example-asked"
    assert [ask(fleet, host, one)[0] for one in ("", "api/v2/builds", "change_hook/poller", "ws")] == [401] * 4
    assert ask(fleet, host, path, *force)[0] == 401
    assert ask(fleet, host, path, *force, password="wrong")[0] == 401
    assert ask(fleet, host, path, *force, "--header", "X-Remote-User: alice")[0] == 401
    # Of the other one's server.
    other = next(password for name, password in PASSWORDS.items() if name != host)
    assert ask(fleet, host, path, *force, password=other)[0] == 401


def test_a_version_that_is_published_is_never_replaced(fleet, good):
    """Built once more by hand, its tests are green, and nothing is uploaded."""
    version, revision = good
    # CI's own janitor is a builder too, and either may be the first.
    builder = next(one for one in get(fleet, CI, "builders")["builders"] if one["name"] == "example")
    params = {"builderid": builder["builderid"], "revision": revision}
    order = {"id": 1, "jsonrpc": "2.0", "method": "force", "params": params}
    force = ["--header", "Content-Type: application/json", "--data", json.dumps(order)]
    status, answer = ask(fleet, CI, "api/v2/forceschedulers/example-asked", *force, password=PASSWORDS[CI])
    assert status == 200, answer
    assert built(fleet, CI, revision, count=2)[0] == WARNED
    assert f"insync_example-{version}-py3-none-any.whl is in {STAGING}".replace("/insync/", ":443/insync/") in said(
        fleet, CI
    )


def upload(fleet, host, password, index=STAGING):
    """Upload a wheel from ``host`` with twine, as its builds do or would; return what it says."""
    script = """
import os, pathlib, subprocess, sys, tempfile, zipfile
url, ca, password = sys.stdin.read().split("\\n")
wheel = pathlib.Path(tempfile.mkdtemp(), "insync_example-999-py3-none-any.whl")
with zipfile.ZipFile(wheel, "w") as archive:
    info = "insync_example-999.dist-info"
    archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: insync-example\\nVersion: 999\\n")
    archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    archive.writestr(f"{info}/RECORD", "")
environment = {**os.environ, "TWINE_USERNAME": "ci", "TWINE_PASSWORD": password, "NO_COLOR": "1"}
twine = ["/opt/buildbot/bin/twine", "upload", "--non-interactive", "--disable-progress-bar", "--cert", ca]
done = subprocess.run([*twine, "--repository-url", url, wheel], env=environment, capture_output=True, text=True)
print(done.stdout, done.stderr)
"""
    return fleet.ok(host, "python3", "-c", script, stdin="\n".join([f"{index}/", CA, password]))


def test_integration_tests_cannot_publish(fleet, good):
    """They have no password to do so; and from their server nobody has, not even with the right one."""
    assert "403 Forbidden" in upload(fleet, TESTS, UPLOADER)
    assert "401 Unauthorized" in upload(fleet, CI, "wrong"), "where it is only a matter of the password"
    found = fleet.run(
        TESTS, "grep", "--recursive", "--files-with-matches", "--fixed-strings", "--", UPLOADER, "/etc", "/run"
    )
    assert found.stdout == ""
    assert fleet.ok(CI, "cat", "/etc/buildbot/credentials/upload").strip() == UPLOADER
    assert "-999-" not in offered(fleet)


def test_ci_may_not_publish_what_servers_install(fleet):
    """Whoever takes the worker over has its password, and only people move a version on."""
    assert "403 Forbidden" in upload(fleet, CI, UPLOADER, STABLE)
    assert "-999-" not in offered(fleet, STABLE)


# The other engine: a program at a URL.
HONEST = """#!/usr/bin/python3
# It is no Drone. It tells what it was told.
import hashlib, http.server, json, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = {name: os.environ[name] for name in os.environ if name.startswith("DRONE_")}
        secret = known.pop("DRONE_RPC_SECRET", "").encode()
        body = json.dumps({"secret": hashlib.sha256(secret).hexdigest(), "pid": os.getpid(), **known}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
host, _, port = os.environ["DRONE_SERVER_PORT"].rpartition(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def served(fleet):
    """A web server on TESTS with the program; returns its URL. Afterwards all is as declared again."""
    fleet.ok(TESTS, "sh", "-c", "mkdir -p /run/honest && cat > /run/honest/drone-server", stdin=HONEST)
    server = ["python3", "-m", "http.server", "8099", "--bind", "127.0.0.1", "--directory", "/run/honest"]
    fleet.ok(TESTS, "systemd-run", "--quiet", "--unit=honest", *server)
    yield "http://127.0.0.1:8099/drone-server"
    fleet.run(TESTS, "sh", "-c", "systemctl stop honest; rm -rf /run/honest")
    gone = fleet.salt(TESTS, "state.apply", "drone.absent")[TESTS]
    states = fleet.highstate(TESTS)[TESTS]
    assert (failed(gone.values()), failed(states)) == ([], [])
    left = fleet.run(TESTS, "ls", "-d", "/etc/drone", "/var/lib/drone", "/usr/local/bin/drone-server")
    assert left.stdout == ""
    assert ask(fleet, TESTS, "api/v2/builds")[0] == 401


def drone(fleet, url, sha256):
    """Let TESTS have Drone as its engine; return its states."""
    pillar = {"ci": {"engine": "drone", "drone": {"url": url, "sha256": sha256}}}
    states = fleet.salt(TESTS, "state.apply", "ci", f"pillar={json.dumps(pillar)}")[TESTS]
    assert isinstance(states, dict), states
    return list(states.values())


def test_drone_is_the_pinned_program_and_what_goes_wrong_leaves_it_alone(fleet, served):
    right = hashlib.sha256(HONEST.encode()).hexdigest()
    states = drone(fleet, served, right)
    assert failed(states) == []
    assert {"drone-program", "drone-service", "nginx-config"} <= set(changed(states))
    running = fleet.eventually(lambda: (found := ask(fleet, TESTS, "version"))[0] == 200 and found[1], 20)
    secret = SECRETS["ci_integration"]["drone_rpc_secret"]
    assert running["secret"] == hashlib.sha256(secret.encode()).hexdigest()
    assert running["DRONE_SERVER_HOST"] == f"{TESTS}.insync.internal"
    for url, sha256 in ((served, "0" * 64), ("http://127.0.0.1:1/drone-server", "1" * 64)):
        states = drone(fleet, url, sha256)
        assert "drone-program" in failed(states) and changed(states) == []
        assert ask(fleet, TESTS, "version")[1]["pid"] == running["pid"]
