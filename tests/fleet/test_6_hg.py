"""The Mercurial repositories: people come by https with a password, programs by ssh with a repository's key."""

import contextlib
import json
import re

import insync_inventory
import pytest
import yaml

from lab import site
from lab.paths import KEYS
from tests.fleet.conftest import INVENTORY, changed, failed
from tests.fleet.web import SECRETS

NAME = "hg.insynchq.com"
URL = f"https://{NAME}"
HOST = next(name for name, host in INVENTORY["hosts"].items() if "hg_server" in host["roles"])
# Of whom lab/fake_secrets.yaml has the hashes.
PASSWORDS = {"alice": """lab hg "alice" '#1' %$""", "bob": "lab-hg-bob-8c1e", "ci": "lab-hg-ci-40d7"}
HOME = "/home/alice/hg"


@pytest.fixture(scope="module", autouse=True)
def people(fleet):
    """Those who use the repositories, on one machine."""
    with prepared(fleet):
        yield


@contextlib.contextmanager
def prepared(fleet):
    """Each has settings of Mercurial as the docs show them, and alice the keys of the repositories."""
    files = {label: (KEYS / f"hg-{label}").read_text() for label in ("website-deploy", "website-build", "client-build")}
    settings = "[ui]\nusername = {user}\n[auth]\nhg.prefix = {name}\nhg.username = {user}\nhg.password = {password}\n"
    for user, password in {**PASSWORDS, "mallory": "guess"}.items():
        files[f"{user}.rc"] = settings.format(user=user, name=NAME, password=password)
    files["ssh_config"] = insync_inventory.ssh_config(INVENTORY, "alice", f"{HOME}/known_hosts")
    host_keys = {host: fleet.ok(host, "cat", "/etc/ssh/ssh_host_ed25519_key.pub") for host in ("ct1", HOST)}
    files["known_hosts"] = "".join(f"{host} {key}" for host, key in host_keys.items())
    write = "import json, os, sys\nfor name, text in json.load(sys.stdin).items(): open(name, 'w').write(text)"
    fleet.ok("world", "sh", "-c", f"rm -rf {HOME} && install -d -o alice -m 0700 {HOME}")
    become = ["runuser", "-u", "alice", "--", "env", "-C", HOME]
    fleet.ok("world", *become, "sh", "-c", 'umask 077; python3 -c "$0"', write, stdin=json.dumps(files))
    yield
    fleet.run("world", "rm", "-rf", HOME)


def ssh(fleet, *words, key=None):
    """Run ssh from the internet as alice does, with her own key or a repository's. Return the CompletedProcess."""
    own = ["-o", "IdentitiesOnly=yes", "-i", f"{HOME}/{key}"] if key else []
    options = ["-F", f"{HOME}/ssh_config", "-o", "BatchMode=yes", *own]
    return fleet.run("world", "runuser", "-u", "alice", "--", "ssh", *options, *words)


def hg(fleet, user, *words, key="website-build"):
    """Run hg in insync-world with the settings of ``user``; by ssh it shows ``key``. Return the CompletedProcess."""
    by_ssh = f"ui.ssh=ssh -F {HOME}/ssh_config -o BatchMode=yes -o IdentitiesOnly=yes -i {HOME}/{key}"
    settings = ["env", "-C", HOME, f"HGRCPATH={HOME}/{user}.rc", "HGPLAIN=1", "HGENCODING=UTF-8"]
    command = ["hg", "--noninteractive", "--config", by_ssh, *words]
    return fleet.run("world", "runuser", "-u", "alice", "--", *settings, *command)


def ok(fleet, user, *words, **options):
    done = hg(fleet, user, *words, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def get(fleet, *options):
    """Return (status, body) of a request from the internet; options are curl's, the URL among them."""
    command = ["curl", "--silent", "--max-time", "30", "--write-out", "\n%{http_code}", *options]
    body, _, status = fleet.run("world", *command).stdout.rpartition("\n")
    return int(status or 0), body


def statuses(fleet, *requests):
    """Return the status (str) of each of ``requests``, lists of curl's options, the URL among them."""
    options = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code} "]
    words = [word for request in requests for word in ("--next", *options, *request)]
    return fleet.run("world", "curl", *words[1:]).stdout.split()


def as_user(user):
    return ["--user", f"{user}:{PASSWORDS[user]}"]


def commit(fleet, user, clone, message, megabytes=0):
    """Commit a file of random bytes in ``clone``; return the changeset's id."""
    size = megabytes * 2**20 or 64
    write = f"head -c {size} /dev/urandom > {HOME}/{clone}/{message}"
    fleet.ok("world", "runuser", "-u", "alice", "--", "sh", "-c", write)
    ok(fleet, user, "-R", clone, "commit", "--addremove", "-m", message)
    return tip(fleet, user, clone)


def tip(fleet, user, repository):
    return ok(fleet, user, "identify", "--id", "--rev", "tip", repository).strip()


def pushed_by_https(fleet, megabytes):
    """Let alice push so much by https, out of the new clone `alice`; return the changeset's id."""
    ok(fleet, "alice", "clone", f"{URL}/website", "alice")
    found = commit(fleet, "alice", "alice", "large", megabytes=megabytes)
    ok(fleet, "alice", "-R", "alice", "push", "--force")
    return found


@pytest.fixture(scope="module")
def pushed(fleet, people):
    """A changeset of 20 MB that alice has pushed; it goes in the end."""
    found = pushed_by_https(fleet, 20)
    yield found
    strip = ["hg", "-R", "/srv/hg/website", "--config", "extensions.strip=", "strip", "--no-backup", found]
    fleet.ok(HOST, "runuser", "-u", "hg", "--", *strip)


def test_what_alice_pushes_bob_pulls_and_it_is_public(fleet, pushed):
    ok(fleet, "bob", "clone", f"{URL}/website", "bob")
    assert tip(fleet, "bob", "bob") == pushed
    assert ok(fleet, "bob", "-R", "bob", "phase", "--rev", "tip").split()[-1] == "public"
    owners = fleet.ok(HOST, "find", "/srv/hg/website", "!", "-user", "hg", "-printf", "%P ")
    assert owners.split() == [".hg/hgrc"], "both ways in leave files of one owner"


def test_who_only_reads_is_told_why_a_push_is_refused(fleet, pushed):
    ok(fleet, "bob", "clone", f"{URL}/website", "reader")
    commit(fleet, "bob", "reader", "of-bob")
    done = hg(fleet, "bob", "-R", "reader", "push", "--force")
    assert done.returncode == 255 and "403: push not authorized" in done.stderr
    assert tip(fleet, "ci", f"{URL}/website") == pushed


@pytest.mark.parametrize(
    "user, repository, message",
    [
        ("mallory", "website", "authorization failed"),
        ("bob", "client", "HTTP Error 403: read not authorized"),
        ("alice", "nosuch", "HTTP Error 404: Not Found"),
        ("alice", "website/.hg", "HTTP Error 404"),
    ],
)
def test_what_one_may_not_clone(fleet, user, repository, message):
    done = hg(fleet, user, "clone", f"{URL}/{repository}", "refused")
    assert done.returncode == 255 and message in done.stderr
    assert PASSWORDS["alice"] not in done.stderr


def test_nobody_without_a_password_sees_anything(fleet):
    paths = ("", "website", "website?cmd=capabilities", "static/style-paper.css", "nosuch", ".hg/hgrc")
    assert statuses(fleet, *([f"{URL}/{path}"] for path in paths)) == ["401"] * len(paths)
    # The last is what the file has: a hash is no password.
    logins = ("alice:", f"nobody:{PASSWORDS['alice']}", SECRETS["hg_server"]["passwords"].splitlines()[0])
    assert statuses(fleet, *(["--user", login, URL] for login in logins)) == ["401"] * len(logins)


def test_the_list_names_only_what_one_may_read(fleet):
    listed = {user: set(re.findall(r'href="/(\w+)/"', get(fleet, *as_user(user), f"{URL}/")[1])) for user in PASSWORDS}
    assert listed == {"alice": {"website", "client", "example"}, "bob": {"website"}, "ci": {"website", "example"}}


def test_a_client_cannot_say_who_it_is(fleet):
    """Only the password tells; and what nginx says to hgweb, no client says."""
    headers = [["--header", f"{name}: alice"] for name in ("X-Remote-User", "X_Remote_User", "Remote-User")]
    assert statuses(fleet, *([*header, f"{URL}/client"] for header in headers)) == ["401"] * 3
    assert statuses(fleet, *([*as_user("bob"), *header, f"{URL}/client"] for header in headers)) == ["403"] * 3
    socket = ["curl", "--silent", "--unix-socket", "/run/hgweb.sock", "--header", "X-Remote-User: alice", "http://x/"]
    done = fleet.run(HOST, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *socket)
    assert (done.returncode, done.stdout) == (7, ""), "nobody on the server can either"


def test_http_leads_to_https_and_other_names_nowhere(fleet):
    status, headers = get(fleet, "--head", f"http://{NAME}/website?x=1")
    assert (status, re.search(r"(?im)^location: (\S+)", headers)[1]) == (301, f"{URL}/website?x=1")
    resolve = ["--resolve", f"other.example:443:{INVENTORY['hosts'][HOST]['public']}"]
    assert fleet.run("world", "curl", "--silent", "--insecure", *resolve, "https://other.example/").returncode == 35


def by_ssh(repository):
    return f"ssh://hg@{HOST}/{repository}"


def test_a_repositorys_key_pushes_through_the_gateway(fleet, pushed):
    ok(fleet, "ci", "clone", by_ssh("website"), "build", key="website-deploy")
    new = commit(fleet, "ci", "build", "of-the-build")
    done = hg(fleet, "ci", "-R", "build", "push", "--force", key="website-deploy")
    assert done.returncode != 0 and "Permission denied" in done.stdout + done.stderr, "a key that only reads"
    assert tip(fleet, "bob", f"{URL}/website") == pushed
    said = hg(fleet, "ci", "-R", "build", "push", "--force")
    assert (said.returncode, "not trusting" in said.stderr) == (0, False), said.stderr
    assert tip(fleet, "bob", f"{URL}/website") == new
    # And on by https: what one way has written the other goes on with.
    ok(fleet, "alice", "-R", "alice", "pull", "--update")
    last = commit(fleet, "alice", "alice", "afterwards")
    ok(fleet, "alice", "-R", "alice", "push", "--force")
    assert tip(fleet, "ci", by_ssh("website")) == last


@pytest.mark.parametrize("path", ["client", "/srv/hg/client", "../../etc"])
def test_a_repositorys_key_opens_no_other(fleet, path):
    done = hg(fleet, "ci", "identify", by_ssh(path))
    assert done.returncode == 255 and "Illegal repository" in done.stderr, done.stderr


@pytest.mark.parametrize("command", ["id", "hg -R website serve --stdio; id", ""])
def test_a_repositorys_key_gives_no_shell(fleet, command):
    done = ssh(fleet, f"hg@{HOST}", *([command] if command else []), key="website-build")
    assert done.returncode == 255 and "Illegal command" in done.stderr and "uid=" not in done.stdout, done.stderr


def test_a_repositorys_key_forwards_nothing_and_has_no_terminal(fleet):
    done = ssh(fleet, "-W", "127.0.0.1:3141", f"hg@{HOST}", key="website-build")
    assert done.returncode != 0 and "administratively prohibited" in done.stderr, done.stderr
    listen = ["-N", "-R", "9999:127.0.0.1:3141", "-o", "ExitOnForwardFailure=yes"]
    done = ssh(fleet, *listen, f"hg@{HOST}", key="website-build")
    assert done.returncode == 255 and "remote port forwarding failed" in done.stderr, done.stderr
    assert "PTY allocation request failed" in ssh(fleet, "-tt", f"hg@{HOST}", "id", key="website-build").stderr


def test_no_other_key_and_no_other_server_lets_in(fleet):
    own = ssh(fleet, f"hg@{HOST}", "id")
    assert own.returncode == 255 and "Permission denied (publickey)" in own.stderr, "an operator's key is not declared"
    elsewhere = ssh(fleet, "hg@ct1", "id", key="website-build")
    assert elsewhere.returncode == 255 and "Permission denied" in elsewhere.stderr
    as_operator = ssh(fleet, f"bob@{HOST}", "id", key="website-build")
    assert as_operator.returncode == 255 and "Permission denied (publickey)" in as_operator.stderr


# The file keeps its owner and mode.
EDIT = 'cp -p "$0" "$0.kept" && cat > "$0"'


@pytest.fixture
def declared(fleet):
    """Replace a file of the site folder on ct1 for the length of a test."""
    edited = []

    def _declared(name, data):
        path = f"/srv/insync/site/{name}"
        fleet.ok("ct1", "sh", "-c", EDIT, path, stdin=yaml.safe_dump(data))
        edited.append(path)

    yield _declared
    for path in edited:
        fleet.ok("ct1", "mv", f"{path}.kept", path)
    states = fleet.highstate(HOST)[HOST]
    assert failed(states) == []


def test_who_has_left_is_refused_and_what_is_no_longer_declared_is_kept(fleet, declared, pushed):
    hashes = [line for line in SECRETS["hg_server"]["passwords"].splitlines() if not line.startswith("bob:")]
    gpg = site._gpg_home(KEYS / "gpgkeys")
    declared("secrets/hg_server.yaml", {"passwords": site._encrypt(gpg, "\n".join(hashes))})
    repositories = yaml.safe_load(fleet.ok("ct1", "cat", "/srv/insync/site/hg.yaml"))["repositories"]
    del repositories["client"], repositories["website"]["keys"]["build"]
    declared("hg.yaml", {"repositories": repositories})
    states = fleet.highstate(HOST)[HOST]
    assert failed(states) == []
    assert changed(states) == ["hg-config", "hg-keys", "hg-passwords", "hg-service"]
    told = next(state["comment"] for state in states if state["__id__"] == "hg-repositories")
    assert told == "no longer declared, and kept: client"
    requests = [[*as_user("bob"), URL], [*as_user("ci"), f"{URL}/website"], [*as_user("alice"), f"{URL}/client"]]
    assert statuses(fleet, *requests) == ["401", "200", "404"]
    for key in ("client-build", "website-build"):
        assert "Permission denied (publickey)" in hg(fleet, "ci", "identify", by_ssh("website"), key=key).stderr
    fleet.ok(HOST, "test", "-d", "/srv/hg/client/.hg")
    assert not [line for line in hashes if line in str(states)]


def test_passwords_are_not_guessed_for_long(fleet):
    """Beyond a few dozen requests an address gets five a second; others are not kept from it by that."""
    urls = [word for _ in range(120) for word in ("--output", "/dev/null", f"{URL}/")]
    guess = ["curl", "--silent", "--parallel", "--parallel-immediate", "--user", "alice:guess", "--write-out"]
    said = fleet.run("world", *guess, "%{http_code}\n", *urls).stdout.split()
    assert set(said) == {"401", "429"} and said.count("429") > 20
    own = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--resolve"]
    address = f"{NAME}:443:{INVENTORY['hosts'][HOST]['public']}"
    assert fleet.run("ct1", *own, address, *as_user("ci"), f"{URL}/website").stdout == "200"
    fleet.eventually(lambda: get(fleet, *as_user("ci"), f"{URL}/website")[0] == 200, 20)
