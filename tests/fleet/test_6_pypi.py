"""The private package index: who uploads, what is refused, and that our names never come from the public index."""

import json
import time
import zipfile

import pytest

from lab import podman, preflight
from lab.paths import PREFIX, SITE
from lab.shell import run
from tests.fleet.conftest import INVENTORY, changed, failed, planned
from tests.fleet.web import SECRETS, Stopped

SERVER = next(name for name, host in INVENTORY["hosts"].items() if "pypi_server" in host["roles"])
HOST = f"{SERVER}.insync.internal"
URL = f"https://{HOST}"
STABLE = f"{URL}/insync/stable"
PASSWORD = SECRETS["pypi_server"]["uploader_password"]
CI_PASSWORD = SECRETS["pypi_server"]["ci_password"]
ROOT_PASSWORD = SECRETS["pypi_server"]["root_password"]
# Every run of the tests has its own: nothing on the index is ever replaced.
VERSION = f"1.{int(time.time())}"

# On dev itself, as root of devpi; the password comes on standard input.
AS_ROOT = """
import base64, json, sys, urllib.request
password, method, path, body = json.load(sys.stdin)
request = urllib.request.Request(f"http://127.0.0.1:3141{path}", json.dumps(body).encode(), method=method)
request.add_header("Content-Type", "application/json")
request.add_header("Accept", "application/json")
request.add_header("X-Devpi-Auth", base64.b64encode(f"root:{password}".encode()).decode())
urllib.request.urlopen(request)
"""

# The public index of an attacker, on dev's loopback: any project has one file, with a version that none of ours has.
# It takes its time, as the real one does: who asks meanwhile does so before the first one is answered.
ATTACKER = """
import http.server
import time
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(1)
        name = self.path.strip("/").split("/")[-1].replace("-", "_")
        page = f'<a href="/{name}-999.0-py3-none-any.whl">{name}-999.0-py3-none-any.whl</a>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
http.server.ThreadingHTTPServer(("127.0.0.1", 8999), Index).serve_forever()
"""


def as_root(fleet, method, path, body):
    fleet.ok(SERVER, "python3", "-c", AS_ROOT, stdin=json.dumps([ROOT_PASSWORD, method, path, body]))


def ask(fleet, *options, client="web02"):
    """Return (status, body) of a request of a declared client; ``options`` are curl's, the URL among them."""
    command = [
        "curl",
        "--silent",
        "--max-time",
        "30",
        "--cacert",
        "/etc/insync/fleet-ca.crt",
        "--write-out",
        "\n%{http_code}",
    ]
    body, _, status = fleet.run(client, *command, *options).stdout.rpartition("\n")
    return int(status or 0), body


def borrowed(folder, *command, client="web02"):
    """Run ``command`` in a container that borrows the network of ``client`` and sees ``folder`` as /mnt."""
    hosts = folder / "hosts"
    hosts.write_text(f"{INVENTORY['hosts'][SERVER]['private']} {HOST}\n", encoding="utf-8")
    options = ["--network", f"container:{PREFIX}{client}", "--env", "REQUESTS_CA_BUNDLE=/fleet-ca.crt"]
    for outside, inside in ((folder, "/mnt"), (SITE / "tls" / "ca.crt", "/fleet-ca.crt"), (hosts, "/etc/hosts")):
        options += ["--volume", f"{outside}:{inside}"]
    image = podman.containers()[f"{PREFIX}world"]["image"]
    start = ["podman", *podman.flags(), "run", "--rm", *preflight.ulimits(), *options, image]
    return run([*start, *command], check=False)


def twine(wheel, user="uploader", password=PASSWORD, index="insync/stable"):
    """Upload ``wheel`` as a build does, over the network; return "" or what twine says."""
    command = ["twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", f"{URL}/{index}/"]
    login = ["--username", user, "--password", password]
    done = borrowed(wheel.parent, *command, *login, f"/mnt/{wheel.name}")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def pip(folder, *packages):
    """Install ``packages`` with pip, which is told of no other index; return the CompletedProcess."""
    options = [
        "--isolated",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--target=/mnt/pip",
        "--cert=/fleet-ca.crt",
    ]
    install = ["env", "PIP_CONFIG_FILE=/dev/null", "python3", "-m", "pip", "install", *options]
    return borrowed(folder, *install, f"--index-url={STABLE}/+simple/", *packages)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Two wheels of the same name and version, with different content."""
    folder = tmp_path_factory.mktemp("wheels")
    return [wheel(folder / str(number), "insync_probe", VERSION, f"# {number}\n") for number in (1, 2)]


def wheel(folder, module, version, text):
    folder.mkdir()
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}.py", text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_the_uploader_uploads_and_nothing_is_replaced(fleet, wheels):
    first, other = wheels
    assert twine(first) == ""
    assert twine(first) == "", "the same file again does no harm"
    assert "409 Conflict" in twine(other)
    status, page = ask(fleet, f"{STABLE}/+simple/insync-probe/")
    assert status == 200 and first.name in page


@pytest.mark.parametrize(
    "user, password, index, answer",
    [
        ("uploader", "wrong", "insync/stable", "401 Unauthorized"),
        ("ci", PASSWORD, "insync/stable", "401 Unauthorized"),
        ("mallory", "x", "insync/stable", "401 Unauthorized"),
        ("insync", "x", "insync/stable", "401 Unauthorized"),
        ("ci", CI_PASSWORD, "insync/stable", "403 Forbidden"),
        ("root", ROOT_PASSWORD, "insync/stable", "403 Forbidden"),
        ("uploader", PASSWORD, "root/pypi", "404 Not Found"),
        ("uploader", PASSWORD, "uploader/own", "404 Not Found"),
    ],
)
def test_nobody_else_uploads(fleet, wheels, user, password, index, answer):
    assert answer in twine(wheels[1], user, password, index)


def test_no_package_has_a_name_that_the_public_index_may_have_too(fleet, tmp_path):
    refused = twine(wheel(tmp_path / "w", "sync_tools", VERSION, ""), index="insync/staging")
    assert "names of packages of ours begin with insync-" in " ".join(refused.split())
    assert VERSION not in ask(fleet, f"{URL}/insync/staging/+simple/sync-tools/")[1]


def test_staging_offers_stable_and_is_promoted(fleet, tmp_path):
    version = f"{VERSION}.1"
    assert twine(wheel(tmp_path / "w", "insync_probe", version, ""), index="insync/staging") == ""
    page = ask(fleet, f"{URL}/insync/staging/+simple/insync-probe/")[1]
    assert f"-{VERSION}-" in page and f"-{version}-" in page
    assert f"-{version}-" not in ask(fleet, f"{STABLE}/+simple/insync-probe/")[1]
    order = ["--header", "Content-Type: application/json", f"{URL}/insync/staging/", "--data"]
    order.append(json.dumps({"name": "insync-probe", "version": version, "targetindex": "insync/stable"}))
    assert ask(fleet, *order)[0] == 401
    assert ask(fleet, "--user", f"ci:{CI_PASSWORD}", *order)[0] == 401
    assert ask(fleet, "--user", f"uploader:{PASSWORD}", *order)[0] == 200
    assert f"-{version}-" in ask(fleet, f"{STABLE}/+simple/insync-probe/")[1]


PUSH = json.dumps(
    {"name": "insync-probe", "version": VERSION, "posturl": "http://127.0.0.1/", "username": "", "password": ""}
)
AS_JSON = ["--header", "Content-Type: application/json"]


@pytest.mark.parametrize(
    "options, status",
    [
        (["--form", ":action=file_upload", f"{STABLE}/"], 401),
        ([*AS_JSON, "--data", PUSH, f"{STABLE}/"], 403),
        (["--header", "Content-Type: multipart/form-data; boundary=x", "--data", PUSH, f"{STABLE}/"], 403),
        (["--request", "PUT", *AS_JSON, "--data", "{}", f"{URL}/uploader/own"], 404),
        (["--request", "PUT", *AS_JSON, "--data", '{"password": "x"}', f"{URL}/mallory"], 404),
        (["--request", "PATCH", *AS_JSON, "--data", '{"volatile": true}', f"{STABLE}"], 403),
        (["--request", "DELETE", f"{STABLE}/insync-probe?force"], 404),
        (["--request", "DELETE", f"{STABLE}/"], 403),
        ([*AS_JSON, "--data", "{}", f"{URL}/+login"], 404),
        ([f"{URL}/+api"], 404),
        ([f"{URL}/+status"], 404),
        ([f"{URL}/"], 404),
        ([f"{URL}/root/pypi/+simple/flask/"], 404),
        (["--path-as-is", f"{STABLE}/+simple/../../../+status"], 400),
        (["--path-as-is", f"{STABLE}/+simple/%2e%2e/%2e%2e/%2e%2e/+status"], 400),
    ],
    ids=lambda value: value[-1].removeprefix(URL) if isinstance(value, list) else value,
)
def test_the_network_reaches_what_builds_and_installers_need_and_nothing_else(fleet, options, status):
    """Not even with root's password."""
    assert ask(fleet, *options)[0] == status
    if status != 401:
        assert ask(fleet, "--user", f"root:{ROOT_PASSWORD}", *options)[0] == status


def installed(fleet, *packages):
    """Install ``packages`` on web02, into a virtualenv that is new and has no cache; return the CompletedProcess."""
    uv, python = "/opt/salt/bin/uv --quiet", "/tmp/probe/bin/python"
    options = f'--no-config --no-cache --python {python} --index-url "$0"'
    steps = [
        "rm -rf /tmp/probe",
        f"{uv} venv /tmp/probe",
        f'SSL_CERT_FILE=/etc/insync/fleet-ca.crt {uv} pip install {options} "$@"',
        f'{python} -c "import flask, insync_probe"',
        "rm -rf /tmp/probe",
    ]
    return fleet.run("web02", "sh", "-c", " && ".join(steps), f"{STABLE}/+simple/", *packages)


def test_pip_installs_private_and_public_packages_and_knows_no_other_index(fleet, wheels, tmp_path):
    done = pip(tmp_path, f"insync-probe=={VERSION}", "itsdangerous")
    assert done.returncode == 0 and f"insync-probe-{VERSION} itsdangerous-" in done.stdout, done.stderr
    assert (tmp_path / "pip" / "insync_probe.py").exists()
    assert "No matching distribution found for insync-nosuch" in pip(tmp_path, "insync-nosuch").stderr


def test_who_is_no_client_does_not_even_reach_it(fleet):
    probe = [
        "curl",
        "--silent",
        "--insecure",
        "--max-time",
        "3",
        "--write-out",
        "%{http_code}",
        "--output",
        "/dev/null",
    ]
    for address in (INVENTORY["hosts"][SERVER]["private"], HOST):
        assert fleet.run("sendy", *probe, f"https://{address}/").stdout == "000"
    public = INVENTORY["hosts"][SERVER]["public"]
    refused = fleet.run("world", *probe, "--resolve", f"{HOST}:443:{public}", f"{STABLE}/+simple/")
    assert refused.stdout == "000", "from the internet there is no such name"


def test_a_client_installs_what_it_needs(fleet, wheels):
    assert (done := installed(fleet, f"insync-probe=={VERSION}", "flask")).returncode == 0, done.stderr


@pytest.mark.alone
def test_what_was_asked_for_once_needs_no_public_index(fleet, wheels):
    wanted = [f"insync-probe=={VERSION}", "flask"]
    # From now on what the mirror has is too old for it, and the public index is away.
    as_root(fleet, "PATCH", "/root/pypi", {"mirror_cache_expiry": 0})
    with Stopped(fleet, "cloud", "tinyproxy"):
        assert (done := installed(fleet, *wanted)).returncode == 0, done.stderr
        never_asked = installed(fleet, *wanted, "iniconfig")
        assert never_asked.returncode != 0 and "iniconfig" in never_asked.stderr
    states = fleet.highstate(SERVER)[SERVER]
    assert (failed(states), changed(states)) == ([], ["devpi-index-root/pypi"])


def only_our_own_come(fleet, folder):
    """Let the public index be one that has every name, also ours in higher versions; the mirror stays with it."""
    harmless = f"harmless-{VERSION.replace('.', '-')}"
    fleet.ok(SERVER, "systemd-run", "--unit=attacker", "python3", "-c", ATTACKER)
    try:
        as_root(fleet, "PATCH", "/root/pypi", {"mirror_url": "http://127.0.0.1:8999/simple/"})
        # Also of those who are the first to ask for it, at once, each gets it.
        curl = f"curl -s --cacert /etc/insync/fleet-ca.crt {STABLE}/+simple/{harmless}/"
        pages = fleet.ok("web02", "sh", "-c", f"for n in $(seq 6); do {curl} & done; wait")
        assert pages.count(f">{harmless.replace('-', '_')}-999.0-") == 6, "the mirror asks the attacker's index"
        for name in ("insync-evil", "Insync_Evil", "insync.evil", "insync-web2"):
            assert ask(fleet, "--location", f"{STABLE}/+simple/{name}/")[0] == 404, name
        status, page = ask(fleet, f"{STABLE}/+simple/insync-probe/")
        assert status == 200 and VERSION in page and "999.0" not in page
        # As careless as it gets: no version is asked for.
        done = pip(folder, "insync-probe")
        assert f"Successfully installed insync-probe-{VERSION}" in done.stdout, done.stdout + done.stderr
    finally:
        fleet.ok(SERVER, "systemctl", "stop", "attacker")


@pytest.mark.alone
def test_our_names_never_come_from_the_public_index(fleet, wheels, tmp_path):
    """The next highstate puts the mirror right."""
    only_our_own_come(fleet, tmp_path)
    states = fleet.highstate(SERVER)[SERVER]
    assert (failed(states), changed(states)) == ([], ["devpi-index-root/pypi"])


@pytest.mark.alone
def test_what_was_changed_by_hand_is_mended(fleet):
    as_root(fleet, "PATCH", "/insync/stable", {"volatile": True, "acl_upload": ["ci", "uploader"]})
    as_root(fleet, "PATCH", "/insync/staging", {"bases": ["insync/stable", "root/pypi"]})
    as_root(fleet, "PUT", "/mallory", {"password": "x"})
    as_root(fleet, "PATCH", "/uploader", {"password": "by hand"})
    as_root(fleet, "PATCH", "/root", {"password": "by hand"})
    drift = ["devpi-index-insync/stable", "devpi-index-insync/staging", "devpi-users"]
    states = fleet.highstate(SERVER, "test=True")[SERVER]
    assert planned(states) == drift
    states = fleet.highstate(SERVER)[SERVER]
    assert (failed(states), changed(states)) == ([], drift)
    assert PASSWORD not in str(states) and ROOT_PASSWORD not in str(states)
    states = fleet.highstate(SERVER)[SERVER]
    assert (failed(states), changed(states)) == ([], [])


@pytest.mark.alone
def test_it_survives_being_killed(fleet, wheels):
    before = fleet.ok(SERVER, "systemctl", "show", "--property=MainPID", "--value", "devpi").strip()
    fleet.ok(SERVER, "kill", "-KILL", before)
    page = fleet.eventually(lambda: (found := ask(fleet, f"{STABLE}/+simple/insync-probe/"))[0] == 200 and found[1])
    assert wheels[0].name in page


def test_wrong_passwords_by_the_dozen_do_not_exhaust_it(fleet):
    """Each check takes 64 MB; a mirror that knows all public projects would have 400 MB before the first one."""
    main = ["systemctl", "show", "--property=MainPID", "--value", "devpi"]
    before = fleet.ok(SERVER, *main).strip()
    curl = f"curl -s -o /dev/null --cacert /etc/insync/fleet-ca.crt -u uploader:wrong -F :action=file_upload {STABLE}/"
    fleet.ok("web02", "sh", "-c", f"for n in $(seq 40); do {curl} & done; wait")
    assert fleet.ok(SERVER, *main).strip() == before
    status = fleet.ok(SERVER, "cat", f"/proc/{before}/status")
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert kilobytes < 400_000
