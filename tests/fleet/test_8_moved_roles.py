"""Roles are data: edits of the inventory take the package index, repositories and a web site to a server, and back."""

import contextlib
import pathlib
import shutil

import insync_inventory
import pytest
import yaml

from lab import cloud, podman
from lab.settings import Settings
from tests.fleet import test_6_hg, test_6_pypi, test_6_radar_mrkr
from tests.fleet.conftest import INVENTORY, ROOT, failed, planned

pytestmark = pytest.mark.alone

# What their users see, as before the move: the same tests, in their order, and the fixture of theirs.
wheels = test_6_pypi.wheels
test_the_uploader_uploads_and_nothing_is_replaced = test_6_pypi.test_the_uploader_uploads_and_nothing_is_replaced
test_nobody_else_uploads = test_6_pypi.test_nobody_else_uploads
test_no_package_has_another_name = test_6_pypi.test_no_package_has_a_name_that_the_public_index_may_have_too
test_staging_offers_stable_and_is_promoted = test_6_pypi.test_staging_offers_stable_and_is_promoted
test_a_client_installs_what_it_needs = test_6_pypi.test_a_client_installs_what_it_needs
test_pip_installs_what_it_needs = test_6_pypi.test_pip_installs_private_and_public_packages_and_knows_no_other_index
test_what_alice_pushes_bob_pulls_and_it_is_public = test_6_hg.test_what_alice_pushes_bob_pulls_and_it_is_public
test_who_only_reads_is_told_why_a_push_is_refused = test_6_hg.test_who_only_reads_is_told_why_a_push_is_refused
test_what_one_may_not_clone = test_6_hg.test_what_one_may_not_clone
test_nobody_without_a_password_sees_anything = test_6_hg.test_nobody_without_a_password_sees_anything
test_a_repositorys_key_pushes_through_the_gateway = test_6_hg.test_a_repositorys_key_pushes_through_the_gateway
test_a_repositorys_key_opens_no_other = test_6_hg.test_a_repositorys_key_opens_no_other
test_a_repositorys_key_gives_no_shell = test_6_hg.test_a_repositorys_key_gives_no_shell
test_no_other_key_lets_in = test_6_hg.test_no_other_key_and_no_other_server_lets_in
test_everybody_sees_mrkr = test_6_radar_mrkr.test_everybody_sees_mrkr
test_the_certificate_of_mrkr_is_for_this_name = test_6_radar_mrkr.test_the_certificate_of_mrkr_is_for_this_name

ROLES = ["pypi_server", "hg_server"]
CLIENT = "web02"
(FORMER,) = {insync_inventory.hosts_with(INVENTORY, role)[0] for role in ROLES}
# A role without data, which needs the index.
THIRD, SITE, OTHER = "mrkr", "mrkr.io", test_6_radar_mrkr.SERVER
# It plays base only.
NEW = "dev02"
HOSTS = "pillar/inventory/hosts.yaml"
DATA = {"/var/lib/devpi": "devpi", "/srv/hg": "hg"}
# What was done to applications and data stays on record; the minion keeps the states that it has applied, and how files
# without secrets were before it changed them.
RECORDS = ("/var/lib/insync/", "/var/cache/salt/minion/")
BOB = "/home/bob/move"

FOLDERS = "/etc /opt /usr/local /var/cache /var/lib /var/log /var/spool /var/www /insync /srv /run"
SNAPSHOT = f"""
find {FOLDERS} -xdev \\( -path '/opt/salt*' -o -path '/run/[lsu]*' -o -name __pycache__ \\) -prune -o -print 2>/dev/null
ss -Hltnu | awk '{{print "port", $1, $5}}'
cut -d: -f1 /etc/passwd | sed 's/^/user /'
cut -d: -f1 /etc/group | sed 's/^/group /'
dpkg-query --show --showformat='package ${{Package}} ${{db:Status-Abbrev}}\\n' | grep -v ' ii $'
systemctl list-units --all --plain --no-legend --type=service,socket,timer | awk '{{print "unit", $1}}'
systemctl list-unit-files --no-legend | awk '{{print "unit file", $1, $2}}'
"""
# Debian's: what a removed package leaves of its own, its dependency netbase, and records of packages and units.
DEBIANS = ("/etc/init.d/", "/etc/rc", "/var/lib/dpkg/", "/var/lib/apt/", "/var/lib/systemd/", "/var/lib/private")
DEBIANS += ("/var/cache/apt/", "/var/cache/debconf/")
# Which of their settings dependencies have that apt would remove by itself.
CONFFILES = """
{ dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\\n' | sed -n 's/^rc *//p'
  apt-get --simulate --quiet=2 autoremove | sed -n 's/^Remv \\([^ ]*\\).*/\\1/p'; } |
    xargs -r dpkg-query --show --showformat='${Conffiles}\\n' | sed -n 's/^ \\([^ ]*\\).*/\\1/p'
"""
# What scripts of Debian's packages, and certbot itself, made beside their settings; the first look for updates, which
# a timer may begin in the middle of all this; and what the first login after a boot leaves.
SCRIPTS = (
    "/etc/apt/sources.list",
    "/etc/letsencrypt/renewal-hooks",
    "/etc/mercurial/hgrc.d/hgext.rc",
    "/etc/systemd/system/sockets.target.wants",
    "/run/motd.dynamic",
    "/var/lib/letsencrypt",
    "/var/lib/ucf",
    "/var/www",
)
LOGS = ("/var/log/gunicorn", "/var/log/unattended-upgrades")
# What goes with the packages that the roles had.
OF_PACKAGES = ("/etc/letsencrypt", "/etc/nginx", "/var/log/letsencrypt", "/var/log/nginx")
NETBASE = {"/etc/ethertypes", "/etc/networks", "/etc/protocols", "/etc/services", "/etc/rpc"}


def snapshot(fleet):
    """All of NEW that a role could have brought: files, ports, users, units."""
    return set(fleet.ok(NEW, "sh", "-c", SNAPSHOT).splitlines())


def own(lines):
    """Those of ``lines`` that are no doing of Debian's."""
    passing = ("unit systemd-", "unit user", "unit apt-", "unit run-", "unit file run-")
    return {line for line in lines if not line.startswith((*DEBIANS, *passing)) and line not in NETBASE}


def edited(changes):
    """The inventory's servers, where ``changes`` are server -> what its entry says otherwise."""
    hosts = yaml.safe_load((ROOT / HOSTS).read_text())
    for name, changed in changes.items():
        hosts[name].update(changed)
    return yaml.safe_dump(hosts, sort_keys=False)


# As docs/bootstrap.md has it: the checkout that ct1 was made from, with another inventory.
DEPLOY = f"""
set -eu
rm -rf /root/move && cp -a /root/checkout /root/move && cd /root/move
[ -z "$1" ] || cat > {HOSTS}
bootstrap/ct1 --wheelhouse "/root/salt-$(sha256sum requirements/salt.txt | cut -c1-12).tar" --name ct1
rm -rf /root/move
"""


def deploy(fleet, hosts=""):
    """Deploy the inventory of ``hosts`` (str), the present one if it says none; return what that told."""
    return fleet.ok("ct1", "sh", "-c", DEPLOY, "sh", hosts and "edited", stdin=hosts)


def converge(fleet, *servers):
    """Apply the highstate of the servers; what they report is all well."""
    results = fleet.highstate(servers)
    assert {server: failed(states) for server, states in results.items()} == {server: [] for server in servers}


def answer(hosts, folder):
    """Let the public DNS say what it follows from ``hosts`` (str), as its owner would at the provider's."""
    shutil.copytree(ROOT / "pillar" / "inventory", folder / "pillar" / "inventory", dirs_exist_ok=True)
    (folder / HOSTS).write_text(hosts)
    (folder / "salt").is_symlink() or (folder / "salt").symlink_to(ROOT / "salt")
    (records,) = (file for file in cloud.files(Settings(folder)) if file.unit == "dnsmasq.service")
    podman.write("cloud", records.path, records.text, mode=records.mode)
    podman.execute("cloud", "systemctl", "restart", records.unit)


COPY = """
set -eu
ssh="ssh -F config -o BatchMode=yes"
$ssh {new} sudo systemctl stop devpi
$ssh {new} sudo rm -rf /var/lib/devpi/server
$ssh {former} sudo tar -C /var/lib/devpi -c server | $ssh {new} sudo tar -C /var/lib/devpi -xp
$ssh {new} sudo systemctl start devpi
$ssh {former} sudo tar -C /srv/hg -c . | $ssh {new} sudo tar -C /srv/hg -xp
"""


def copy_data(fleet):
    """What docs/roles/ tell: bob lets the servers' data go through his machine."""
    config = insync_inventory.ssh_config(INVENTORY, "bob", f"{BOB}/known_hosts")
    keys = [f"{host} {fleet.ok(host, 'cat', '/etc/ssh/ssh_host_ed25519_key.pub')}" for host in ("ct1", FORMER, NEW)]
    fleet.ok("world", "install", "-d", "-o", "bob", "-m", "0700", BOB)
    for name, text in (("config", config), ("known_hosts", "".join(keys))):
        fleet.ok("world", "sh", "-c", f"cat > {BOB}/{name}; chown bob: {BOB}/{name}", stdin=text)
    become = ["runuser", "-u", "bob", "--", "env", "-C", BOB]
    fleet.ok("world", *become, "sh", "-c", COPY.format(former=FORMER, new=NEW))
    fleet.ok("world", "rm", "-r", BOB)


PATCH = "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+x\n"
HG = ("runuser", "-u", "hg", "--", "env", "HGPLAIN=1", "hg", "-R", "/srv/hg/website")


@contextlib.contextmanager
def kept_changeset(fleet):
    """A changeset that is in the repository before the move, as its id."""
    words = ["import", "--bypass", "--config", "ui.username=x", "-m", "before the move", "-"]
    fleet.ok(FORMER, *HG, *words, stdin=PATCH)
    found = fleet.ok(FORMER, *HG, "identify", "--id", "--rev", "tip").strip()
    yield found
    fleet.ok(FORMER, *HG, "--config", "extensions.strip=", "strip", "--no-backup", found)


@contextlib.contextmanager
def at(server):
    """Let the tests of the users ask there."""
    host = f"{server}.insync.internal"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SERVER": server, "HOST": host, "URL": f"https://{host}"}.items():
            patch.setattr(test_6_pypi, name, value)
        patch.setattr(test_6_pypi, "STABLE", f"https://{host}/insync/stable")
        patch.setattr(test_6_pypi, "VERSION", f"{test_6_pypi.VERSION}.2")
        patch.setattr(test_6_hg, "HOST", server)
        patch.setattr(test_6_radar_mrkr, "SERVER", server)
        yield


class Move:
    """From the one server to the other, and back."""

    def __init__(self, fleet, changeset, folder):
        self.fleet, self.changeset, self.folder, self.away = fleet, changeset, folder, False
        self.before = snapshot(fleet)

    def declare(self, changes):
        """Edit the inventory, and deploy; return what the deploy told."""
        hosts = edited(changes)
        self.away = True
        told = deploy(self.fleet, hosts)
        answer(hosts, self.folder)
        return told

    def go(self):
        """The roles, and what is in their folders, to the new server; then one that installs from there."""
        changes = {FORMER: {"roles": [], "retired": ROLES}, NEW: {"roles": ROLES}}
        self.told = self.declare(changes)
        converge(self.fleet, FORMER, NEW, CLIENT)
        copy_data(self.fleet)
        self.declare({**changes, OTHER: {"roles": [], "retired": [THIRD]}, NEW: {"roles": [*ROLES, THIRD]}})
        converge(self.fleet, OTHER, NEW)

    def come_back(self):
        """The roles to the former servers, which have the data of then."""
        self.declare({NEW: {"roles": [], "retired": [*ROLES, THIRD]}})
        self.early = self.remove_data("False")
        converge(self.fleet, FORMER, NEW, CLIENT)
        converge(self.fleet, OTHER)
        self.plan, self.removed = (self.remove_data(test) for test in ("True", "False"))
        self.dry = self.fleet.highstate([NEW], "test=True")[NEW]
        deploy(self.fleet)
        self.fleet.ok("ct1", "sh", "-c", f"rm /srv/insync/site/tls/{NEW}.*")
        self.away = False

    def remove_data(self, test):
        """What the new server says as it removes what the roles kept there."""
        return self.fleet.salt(NEW, "insync.remove_data", f"test={test}", patience=120)[NEW]


@pytest.fixture(scope="module")
def move(fleet, tmp_path_factory):
    """The roles are at the other server until the last test; afterwards all is where it was."""
    with kept_changeset(fleet) as changeset:
        move = Move(fleet, changeset, tmp_path_factory.mktemp("inventory"))
        try:
            move.go()
            with at(NEW):
                yield move
        finally:
            if move.away:
                move.come_back()


@pytest.fixture(scope="module", autouse=True)
def people(fleet, move):
    """Those who use the repositories find them where they are now."""
    with test_6_hg.prepared(fleet):
        yield


@pytest.fixture(scope="module")
def pushed(fleet, people):
    """A changeset that alice has pushed to where the repositories are now."""
    return test_6_hg.pushed_by_https(fleet, 1)


def test_it_is_all_there_is_to_do(fleet, move):
    """The deploy has made the certificate that the new server needs, and nothing waits for another run."""
    assert f"tls/{NEW}: issued (missing)" in move.told
    servers = [FORMER, OTHER, NEW, CLIENT]
    for server, states in fleet.highstate(servers, "test=True").items():
        assert failed(states) + planned(states) == [], server
    for server, ports in fleet.salt(servers, "insync.ports").items():
        assert ports["missing"] + ports["undeclared"] == [], server


LEFT = """
ls -d /opt/devpi* /etc/hg /usr/local/lib/insync-hg /usr/local/lib/insync-devpi /etc/mercurial/hgrc.d/insync.rc \
    /etc/ssh/sshd_config.d/hg.conf /etc/nginx/insync.key /etc/insync/certificates 2>/dev/null
grep server_name /etc/nginx/nginx.conf
ls /etc/systemd/system /etc/systemd/system/*.wants | grep -E 'devpi|hgweb|nginx'
systemctl list-units --all --plain --no-legend --type=service,socket,timer | grep -oE '(devpi|hgweb|nginx)\\.[a-z]+'
dpkg-query --show --showformat='${db:Status-Status} ${Package}\\n' | grep -E '^i.* (nginx|mercurial|gunicorn|certbot)'
pgrep -u devpi; pgrep -u hg
true
"""


def test_the_former_server_keeps_nothing_but_the_data(fleet):
    assert fleet.ok(FORMER, "sh", "-c", LEFT) == ""
    assert fleet.ok(NEW, "sh", "-c", LEFT) != "", "where it is, the same question finds it"
    for folder, user in DATA.items():
        assert fleet.ok(FORMER, "ls", folder) != ""
        assert fleet.run(FORMER, "id", user).returncode == 0, "whose the data are"
    assert fleet.run(
        "world", "curl", "--silent", "--max-time", "3", "-k", f"https://{INVENTORY['hosts'][FORMER]['public']}"
    ).returncode in (7, 28)


def test_what_was_there_went_along(fleet, move):
    status, page = test_6_pypi.ask(fleet, f"{test_6_pypi.STABLE}/+simple/insync-web/")
    assert status == 200 and "insync_web-1.0.0-" in page
    assert test_6_hg.ok(fleet, "ci", "identify", "--rev", move.changeset, f"{test_6_hg.URL}/website")


def test_our_names_do_not_come_from_the_public_index_here_either(fleet, wheels, tmp_path):
    """The last one that installs: the mirror stays as it leaves it, until the server keeps nothing of it."""
    test_6_pypi.only_our_own_come(fleet, tmp_path)


def test_it_comes_back_and_the_other_server_keeps_nothing(fleet, move):
    """All tests before this one are of the time between."""
    move.come_back()
    assert f"is not done yet; 'salt {NEW} state.highstate' first. Nothing was removed" in move.early
    assert set(move.plan["would_remove"]) == set(move.removed["removed"]) == {*DATA, *OF_PACKAGES, "/insync"}
    assert move.plan["users"] == move.removed["users"] == sorted(DATA.values())
    assert failed(move.dry) + planned(move.dry) == []
    new = own(snapshot(fleet) - move.before)
    conffiles = fleet.ok(NEW, "sh", "-c", CONFFILES).splitlines()
    allowed = {*conffiles, *(str(parent) for path in conffiles for parent in pathlib.PurePath(path).parents)}
    assert {line for line in new - allowed if not line.startswith((*RECORDS, *LOGS, *SCRIPTS))} == set()
    # Of the settings that stay none is ours.
    settings = fleet.ok(NEW, "sh", "-c", "grep -rlE 'Managed by Salt|hg.insynchq.com|devpi' /etc || true").splitlines()
    assert new.intersection(settings) == set()
    with at(FORMER):
        status, page = test_6_pypi.ask(fleet, f"{test_6_pypi.STABLE}/+simple/insync-web/")
        assert status == 200 and "insync_web-1.0.0-" in page
        assert test_6_hg.ok(fleet, "ci", "identify", "--rev", move.changeset, f"{test_6_hg.URL}/website")
