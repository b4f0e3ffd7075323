"""Restarts, the step from the previous revision, and a new Salt release."""

import concurrent.futures
import functools
import os
import pathlib
import shutil
import subprocess
import sys

import insync_inventory
import insync_release
import pytest

from lab import podman
from lab.paths import CACHE
from tests.fleet import web
from tests.fleet.conftest import INVENTORY, ROOT, SERVERS, TURN, changed, failed, planned

pytestmark = pytest.mark.alone

ROLES = {role for server in SERVERS for role in INVENTORY["hosts"][server]["roles"]}
# One server of each role, the master first: it restarts, and what returns meanwhile is lost.
MASTER, *OTHERS = ["ct1", *sorted({insync_inventory.hosts_with(INVENTORY, role)[0] for role in ROLES} - {"ct1"})]


def test_every_server_comes_back_from_a_restart(fleet):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(fleet.reboot, SERVERS))
    for server in SERVERS:
        fleet.eventually(lambda server=server: _running(fleet, server), why=f"{server} is not running again")
    fleet.eventually(lambda: _answering(fleet) == set(SERVERS), seconds=180)
    answers = fleet.salt("*", "insync.ports")
    assert {server: answers[server]["missing"] for server in SERVERS} == {server: [] for server in SERVERS}
    results = fleet.highstate("*", "test=True")
    wrong = {server: failed(states) + planned(states) for server, states in results.items()}
    assert wrong == dict.fromkeys(SERVERS, [])
    for client, url, wanted in SEEN:
        fleet.eventually(functools.partial(_shows, fleet, client, url, wanted), 60, why=f"{url}: not {wanted}")
    recipient = web.address()
    fleet.eventually(lambda: web.sign_up(fleet, recipient)[0] == 201, 60, why="no sign-up after the restarts")
    fleet.eventually(lambda: len(web.mails_to(fleet, recipient)) == 1, 60, why="no mail after the restarts")


# What its users see of each service: (from where, what they ask for, the status).
SEEN = [
    ("world", "https://www.insynchq.com/", 200),
    ("world", "https://insynchq.com/", 301),
    ("world", "https://any.insync.io/", 301),
    ("world", "https://hg.insynchq.com/", 401),
    ("world", "https://wiki.insynchq.com/index.php/Main_Page", 200),
    ("world", "https://forums.insynchq.com/", 200),
    ("world", "https://mrkr.io/", 200),
    ("world", "https://www.insynchq-test.com/", 401),
    ("world", "https://beta.insynchq.com/", 401),
    ("web02", "https://dev.insync.internal/insync/stable/+simple/insync-web/", 200),
    ("sentry", "https://sentry.insync.internal/health/ready", 200),
    ("ct1", "https://radar-2.insync.internal/", 200),
    ("ct1", "https://drone.insync.internal/", 401),
    ("ct1", "https://drone-test.insync.internal/", 401),
]


def _shows(fleet, client, url, wanted):
    ask = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "20"]
    ca = [] if client == "world" else ["--cacert", "/etc/insync/fleet-ca.crt"]
    return fleet.run(client, *ask, *ca, url).stdout == str(wanted)


def _answering(fleet):
    return {server for server, answer in fleet.salt("*", "test.ping", patience=5).items() if answer is True}


def _running(fleet, server):
    return fleet.run(server, "systemctl", "is-system-running").stdout.strip() == "running"


@pytest.fixture
def checkout(tmp_path):
    """Return a clone of this repository; ``git`` in it is up to the test."""
    target = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(target)], check=True)
    return target


def _deploy(fleet, checkout, wheelhouse, servers, site="/srv/insync/site"):
    """Deploy ``checkout`` as an operator would, for ``servers``: put it on ct1 and run its bootstrap there."""
    files = subprocess.run(["bootstrap/files"], cwd=checkout, capture_output=True, check=True).stdout
    pack = ["tar", "-cf", "-", "--no-recursion", "-T", "-"]
    tar = subprocess.run(pack, cwd=checkout, input=files, capture_output=True, check=True).stdout
    unpack = "rm -rf /root/other && mkdir /root/other && tar -C /root/other -xmf -"
    subprocess.run(["podman", "exec", "-i", "insync-ct1", "sh", "-c", unpack], input=tar, check=True)
    podman.podman("cp", str(wheelhouse), "insync-ct1:/root/")
    _bootstrap(fleet, "/root/other", site, wheelhouse, servers)


def _deploy_again(fleet, servers):
    """Deploy what the lab had deployed, which it left on ct1."""
    own = _wheelhouse(ROOT)
    _bootstrap(fleet, "/root/checkout", "/root/site", own, servers)
    others = f"rm -rf /root/other /root/other-site; ls /root/salt-*.tar | grep -v {own.name} | xargs -r rm"
    fleet.ok("ct1", "sh", "-c", others)


def _bootstrap(fleet, directory, site, wheelhouse, servers):
    deploy = f"{directory}/bootstrap/ct1 --site {site} --wheelhouse /root/{wheelhouse.name}"
    fleet.ok("ct1", "sh", "-c", deploy, timeout=600)
    synced = ["salt-run", "insync.sync", MASTER, *servers]
    fleet.eventually(lambda: fleet.run("ct1", *synced).returncode == 0, seconds=240, why="some minions are not in step")


def _wheelhouse(checkout):
    build = [checkout / "bootstrap" / "wheelhouse", CACHE]
    return pathlib.Path(subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip())


def _own_site(fleet, checkout, tmp_path):
    """Put the site folder that the lab of ``checkout`` would make on ct1: another revision has other secrets."""
    write = "import pathlib; from lab import paths, site; site.write(pathlib.Path('{}'), paths.KEYS)"
    environment = {**os.environ, "PYTHONPATH": f"{checkout}:{checkout}/_utils", "PYTHONWARNINGS": "ignore"}
    make = [sys.executable, "-c", write.format(tmp_path / "site")]
    subprocess.run(make, cwd=checkout, env=environment, check=True, timeout=300)
    pack = ["tar", "-C", str(tmp_path / "site"), "--exclude=S.*", "-cf", "-", "."]
    tar = subprocess.run(pack, capture_output=True, check=True).stdout
    unpack = "rm -rf /root/other-site && mkdir /root/other-site && tar -C /root/other-site -xmf -"
    subprocess.run(["podman", "exec", "-i", "insync-ct1", "sh", "-c", unpack], input=tar, check=True)
    return "/root/other-site"


WEB = ("web-lb02", "web02")
# At a size that fits: those whose customers notice, and some of the others in turn.
REST = sorted({*OTHERS} - {*WEB})
SOME = [*WEB, *(REST[(TURN + number) % len(REST)] for number in range(4))]
# What reaches servers; a revision that touches none of it is no step.
DEPLOYED = ("salt", "pillar", "bootstrap", "_modules", "_states", "_runners", "_utils", "top.sls")


def test_this_revision_applies_on_top_of_the_previous_one(fleet, checkout, tmp_path, drills):
    assert _git(checkout, "rev-parse", "--is-shallow-repository") == "false", "clone with the whole history"
    revisions = _git(checkout, "rev-list", "--max-count=2", "HEAD", "--", *DEPLOYED).split()
    assert len(revisions) == 2, "no earlier revision touches what is deployed"
    _git(checkout, "checkout", "--quiet", revisions[1])
    before = {server: web.main_pid(fleet, server, web.active_unit(fleet, server)) for server in WEB}
    servers = drills.size(SOME, [server for server in SERVERS if server != MASTER])
    try:
        _deploy(fleet, checkout, _wheelhouse(checkout), servers, _own_site(fleet, checkout, tmp_path))
        assert _highstate(fleet, servers, failed) == {}
    finally:
        _deploy_again(fleet, servers)
        step = _highstate(fleet, servers, failed)
    assert step == {}
    after = {server: web.main_pid(fleet, server, web.active_unit(fleet, server)) for server in before}
    assert after == before, "a deploy restarts no web"
    assert _highstate(fleet, servers, lambda states: failed(states) + changed(states)) == {}


def _highstate(fleet, servers, told):
    """Apply the highstate to the master, then to ``servers``; return {server: what ``told`` says of it}, if any."""
    results = fleet.highstate(MASTER) | fleet.highstate(sorted(servers))
    assert set(results) == {MASTER, *servers}, "some did not return"
    return {server: told(states) for server, states in results.items() if told(states)}


def test_a_new_salt_release_replaces_the_old_one_and_loses_no_job(fleet, checkout):
    old = _wheelhouse(checkout)
    with (checkout / "requirements" / "salt.txt").open("a", encoding="utf-8") as requirements:
        requirements.write("# the same packages under another name\n")
    new = checkout.parent / f"salt-{insync_release.salt_id(checkout)}.tar"
    shutil.copy(old, new)
    try:
        _deploy(fleet, checkout, new, ["web02"])
        for server, states in fleet.highstate(["ct1", "web02"]).items():
            assert failed(states) == []
            assert {"salt-release", "salt-minion-restart"} <= set(changed(states)), server
        for server, unit in (("web02", "salt-minion"), ("ct1", "salt-minion"), ("ct1", "salt-master")):
            fleet.eventually(lambda server=server, unit=unit: new.stem in _executable(fleet, server, unit))
        fleet.answers("web02")
    finally:
        _deploy_again(fleet, ["web02"])
        results = fleet.highstate(MASTER)
        # The master restarts after its highstate, and what it publishes before a minion has come back nobody hears.
        fleet.eventually(lambda: old.stem in _executable(fleet, MASTER, "salt-master"))
        fleet.answers("web02")
        results |= fleet.highstate("web02")
    assert {server: failed(states) for server, states in results.items()} == {MASTER: [], "web02": []}
    fleet.eventually(lambda: old.stem in _executable(fleet, "web02", "salt-minion"))


def test_what_is_gone_already_keeps_no_container_from_being_removed():
    image = podman.containers()["insync-world"]["image"]
    podman.podman("create", "--name", "insync-nobody", image)
    podman.remove("insync-missing", "insync-nobody")
    assert "insync-nobody" not in podman.containers()


def _git(checkout, *arguments):
    done = subprocess.run(["git", "-C", checkout, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_deploy_that_is_refused_changes_nothing(fleet, checkout):
    before = fleet.ok(
        "ct1", "sh", "-c", "readlink /srv/insync/current; cd /srv/insync/site && sha256sum *.yaml */*.yaml"
    )
    files = "find . -type f ! -path './gpgkeys/*' ! -path ./secrets/base.yaml -exec cp --parents -t /root/broken {} +"
    fleet.ok("ct1", "sh", "-c", f"rm -rf /root/broken && mkdir /root/broken && cd /srv/insync/site && {files}")
    deploy = f"/root/checkout/bootstrap/ct1 --site /root/broken --wheelhouse /root/{_wheelhouse(checkout).name}"
    done = fleet.run("ct1", "sh", "-c", deploy)
    fleet.ok("ct1", "rm", "-r", "/root/broken")
    assert done.returncode == 1
    assert "secrets/base.yaml: no such file in the site folder" in done.stderr
    after = fleet.ok(
        "ct1", "sh", "-c", "readlink /srv/insync/current; cd /srv/insync/site && sha256sum *.yaml */*.yaml"
    )
    assert after == before
    assert fleet.run("ct1", "test", "-e", "/srv/insync/site.new").returncode == 1, "a copy of the secrets is left"


def _executable(fleet, server, unit):
    """The command line of the main process of ``unit``."""
    script = f"tr '\\0' ' ' < /proc/$(systemctl show -P MainPID {unit})/cmdline"
    return fleet.run(server, "sh", "-c", script).stdout
