"""The desktop client is released, and customers install it, from ct1's verbs to apt and dnf in insync-world."""

import contextlib
import json
import subprocess

import pytest

from lab.paths import KEYS
from tests.fleet import web
from tests.fleet.repositories import (
    FORMER,
    HOME,
    NEW,
    NEWER,
    YUM,
    Apt,
    Dnf,
    blank,
    delete,
    published,
    refused,
    release,
    verb,
)

# The lock says which process holds it, or held it last.
KILL = """
for try in $(seq 400); do
    process=$(sed -n 's/.*sync_repos.*process //p' /run/lock/insync-repos.lock)
    [ -z "$process" ] || flock --nonblock /run/lock/insync-repos.lock true || { kill -9 "$process"; exit; }
    sleep 0.05
done
exit 1
"""
SUITES = 20
RELEASES = 5
BASEURL = f"baseurl={YUM}/fedora/$releasever/"
MIRRORLIST = f"mirrorlist={YUM}/fedora/$releasever/mirrorlist"


@pytest.fixture(scope="module")
def released(fleet):
    """The former version, released by alice as the first one ever."""
    blank(fleet)
    command = ["runuser", "-u", "alice", "--", "sudo", "salt-run", "insync.release_client", FORMER, "--out=json"]
    done = fleet.run("ct1", *command, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def apt(fleet, released):
    client = Apt(fleet, "debian")
    yield client
    client.remove()


def told(fleet):
    """The current versions that customers are told, once there is a site: the other lane may stop it for a while."""

    def answer():
        status, body = web.get(fleet, "/api/current-versions")
        return json.loads(body) if status == 200 else None

    return fleet.eventually(answer, 180, "the site does not tell the current versions")


@contextlib.contextmanager
def unchanged():
    """Nothing that customers see is another one after the block."""
    before = published()
    yield
    assert published() == before


def test_a_release_says_what_it_does_and_is_on_record(fleet, released):
    steps = ["preflight", "apt", "yum", "sync", "verify", "mac", "windows"]
    said = [line.split()[2].rstrip(":") for line in released.stderr.splitlines() if " s  " in line]
    assert [step for step in said if step in steps] == steps
    done = json.loads(released.stdout)
    assert (done["apt"]["suites"], done["yum"]["suites"]) == (SUITES, RELEASES)
    assert done["verify"] == {"apt": SUITES, "yum": RELEASES}
    assert (done["version"], done["by"]) == (FORMER, "sudo_alice")
    last = json.loads(fleet.ok("ct1", "salt-run", "insync.releases", "--out=json"))[-1]
    assert (last["version"], last["by"]) == (FORMER, "sudo_alice")
    assert told(fleet) == {"mac": FORMER, "windows": FORMER}


def test_customers_install_upgrade_and_go_back(fleet, apt):
    fedoras = [Dnf(fleet, name, line) for name, line in (("baseurl", BASEURL), ("mirrorlist", MIRRORLIST))]
    apt.update()
    assert apt.install("insync", "insync-nautilus") == FORMER
    assert [fedora.change("install", "insync", "insync-dolphin") for fedora in fedoras] == [FORMER, FORMER]

    # As it is typed by hand, step by step; nobody sees it before the last one.
    with unchanged():
        for command in (["update_apt_repo", NEW], ["update_yum_repo", NEW], ["sync_repos.sh", "test=True"]):
            fleet.ok("ct1", "runuser", "-u", "alice", "--", *command)
    fleet.ok("ct1", "runuser", "-u", "alice", "--", "sync_repos.sh")
    jobs = json.loads(fleet.ok("ct1", "salt-run", "jobs.list_jobs", "search_function=insync.sync_repos", "--out=json"))
    assert jobs[max(jobs)]["User"] == "sudo_alice"
    said = apt.update()
    assert "Ign" not in said
    assert (apt.offered(), apt.install("insync")) == ([NEW, FORMER], NEW)
    assert [fedora.change("upgrade", "--refresh") for fedora in fedoras] == [NEW, NEW]
    assert verb(fleet, "verify_repos", NEW)["apt"]["ubuntu/noble"] == NEW

    changes = verb(fleet, "rollback_repos")["changes"]
    assert len(changes) == SUITES + RELEASES and {one["like"] for one in changes.values()} == {1}
    done = verb(fleet, "sync_repos")
    # The index is another one, the packages are there.
    assert not [key for _, key in published() if NEWER in key]
    assert all(len(done[name]["changes"]) == count for name, count in (("apt", SUITES), ("yum", RELEASES)))
    apt.update()
    assert (apt.offered(), apt.install(f"insync={FORMER}")) == ([FORMER], FORMER)
    assert [fedora.change("distro-sync", "--refresh") for fedora in fedoras] == [FORMER, FORMER]


def test_what_is_done_is_not_done_again(fleet, released):
    for name in ("update_apt_repo", "update_yum_repo"):
        for _ in range(2):
            done = verb(fleet, name, FORMER)
        assert done == {"changes": {}}
    verb(fleet, "sync_repos")
    with unchanged():
        done = verb(fleet, "sync_repos")
    assert {name: (one["changes"], one["uploaded"], one["requests"]) for name, one in done.items()} == {
        "apt": ({}, 0, 1),
        "yum": ({}, 0, 1),
    }


def test_test_mode_tells_what_a_run_does_and_touches_nothing(fleet, released):
    with unchanged():
        planned = verb(fleet, "update_apt_repo", NEWER, "test=True")
        assert len(planned["changes"]) == SUITES and f"insync_{NEWER}_amd64.deb" in planned["added"]
        assert verb(fleet, "repo_status")["apt"]["suites"]["debian/bookworm"]["version"] == FORMER
    assert verb(fleet, "update_apt_repo", NEWER) == planned
    planned = verb(fleet, "sync_repos", "test=True")["apt"]
    before = published()
    done = verb(fleet, "sync_repos")["apt"]
    assert (done["changes"], done["uploaded"]) == (planned["changes"], planned["uploaded"])
    after = published()
    changed = {key for (bucket, key), etag in after.items() if before.get((bucket, key)) != etag}
    assert changed - {"_publish/head.json"} == set(planned["keys"])
    verb(fleet, "rollback_repos", f"leaving={NEWER}")
    verb(fleet, "sync_repos")


@pytest.mark.parametrize(
    "call, said",
    [
        (["update_apt_repo", "../3.9.7"], "'../3.9.7': is no version"),
        (["update_apt_repo", ""], "is no version"),
        (["update_yum_repo", "9.9.9.9"], "there is nothing of this version"),
        (["update_apt_repo", FORMER, "backprot=True"], "backprot=True: no option; there is backport, partial, test"),
        (["sync_repos", "aptt"], "aptt: no repository; there is apt, yum"),
        (["rollback_repos", "ubuntu/nobel"], "ubuntu/nobel: no suite; there is"),
        (["rollback_repos", "ubuntu/noble", "serial=999"], "ubuntu/noble: no serial 999"),
        (["rollback_repos", "serial=1"], "serial: name the one suite"),
        (["set_current_version", "mac", "9.9.9.9"], "Insync-9.9.9.9.dmg"),
        (["set_current_version", "amiga", NEW], "amiga: no platform; there is mac, windows"),
        (["verify_repos", "9.9.9.9"], "9.9.9.9: not offered by"),
        (["rollback_repos", "leaving=newest"], "'newest': is no version"),
        (["rollback_repos", "12"], "12: no suite; there is"),
        (["rollback_version", "mac", "leaving=''"], "is no version"),
        # What would be done for real, or for something else, because of a word that nobody takes.
        (["update_apt_repo", FORMER, NEWER], f"{NEWER}: one word too many"),
        (["set_current_version", "mac", NEW, "windows", NEW], "windows: one word too many"),
        (["gc_repos", "apt"], "apt: one word too many"),
        (["gc_repos", "test=flase"], "test=flase: is neither True nor False"),
        (["check_client", "3.10"], "3.1: is no version, which is one to four numbers"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_moves(fleet, released, call, said):
    before = told(fleet)
    with unchanged():
        assert said in refused(fleet, *call)
    assert told(fleet) == before


@pytest.mark.parametrize(
    "words, said",
    [
        (["insync.release_client", "9.9.9.9"], "there is nothing of this version"),
        (["insync.release_client", "3.10"], "3.1: is no version"),
        (["insync.release_client", NEW, NEWER], f"{NEWER}: one word too many"),
        (["insync.release_client", NEW, "tets=True"], "tets=True: no option; there is test"),
        (["state.orchestrate", "orch.release_client"], "'': is no version"),
        (["state.orchestrate", "orch.release_client", f'pillar={{"version": "{NEW}", "tets": true}}'], "no option"),
    ],
)
def test_a_release_that_cannot_be_begins_nothing(fleet, released, words, said):
    with unchanged():
        done = fleet.run("ct1", "salt-run", *words)
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (1, False)
    assert said in done.stdout


def test_a_release_that_fails_is_taken_back_and_goes_on_later(fleet, apt):
    fleet.ok("ct1", "systemctl", "stop", "conf_server")
    try:
        done = release(fleet, NEW)
    finally:
        fleet.ok("ct1", "systemctl", "start", "conf_server")
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert "mac: ct1:" in done.stdout + done.stderr
    apt.update()
    assert apt.offered() == [FORMER]
    assert told(fleet) == {"mac": FORMER, "windows": FORMER}
    fleet.eventually(lambda: fleet.run("ct1", "salt", "ct1", "insync.conf_load").returncode == 0, 30)
    pillar = json.dumps({"version": NEW})
    fleet.ok("ct1", "salt-run", "state.orchestrate", "orch.release_client", f"pillar={pillar}", timeout=600)
    apt.update()
    assert apt.offered() == [NEW, FORMER]
    assert told(fleet) == {"mac": NEW, "windows": NEW}
    versions = [one["version"] for one in json.loads(fleet.ok("ct1", "salt-run", "insync.releases", "--out=json"))]
    assert versions == [FORMER, NEW]


def test_one_release_at_a_time_and_one_that_is_killed_goes_on(fleet, apt):
    argv = ["podman", "exec", "insync-ct1", "salt-run", "insync.release_client", NEWER]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as begun:
        for line in begun.stderr:
            if "sync: insync.sync_repos" in line:
                break
        second = release(fleet, NEWER)
        assert second.returncode == 1 and f"insync.release_client {NEWER} is running, by" in second.stdout
        # The process that salt-run itself is, on ct1.
        fleet.ok("ct1", "pkill", "--signal", "KILL", "--full", f"insync.release_client {NEWER}")
    done = release(fleet, NEWER)
    assert done.returncode == 0, done.stdout + done.stderr
    apt.update()
    assert apt.offered() == [NEWER, NEW, FORMER]
    assert told(fleet) == {"mac": NEWER, "windows": NEWER}
    for name in ("mac", "windows"):
        verb(fleet, "rollback_version", name, f"leaving={NEWER}")
    assert told(fleet) == {"mac": NEW, "windows": NEW}
    verb(fleet, "rollback_repos", f"leaving={NEWER}")
    verb(fleet, "sync_repos")
    apt.update()
    assert apt.offered() == [NEW, FORMER]


def test_who_comes_second_waits(fleet, released):
    jobs = [
        subprocess.Popen(
            ["podman", "exec", "insync-ct1", "salt", "ct1", "insync.update_apt_repo", version, "test=True"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for version in (NEW, NEWER, FORMER)
    ]
    for job in jobs:
        said, _ = job.communicate(timeout=120)
        assert job.returncode == 0, said


@pytest.mark.alone
def test_a_version_that_is_set_stays_until_another_is_declared(fleet, released):
    verb(fleet, "set_current_version", "mac", NEWER)
    assert told(fleet)["mac"] == NEWER
    states = fleet.highstate("ct1")["ct1"]
    assert not [state for state in states if state["changes"] and state["__id__"].startswith("conf-")]
    assert told(fleet)["mac"] == NEWER
    assert verb(fleet, "current_versions")["mac"]["seen"] is True
    verb(fleet, "rollback_version", "mac")
    assert told(fleet)["mac"] != NEWER


def test_a_sync_that_is_killed_is_completed_by_the_next(fleet, apt):
    apt.update()
    before = apt.offered()
    verb(fleet, "update_apt_repo", NEWER)
    fleet.ok("ct1", "salt", "--async", "ct1", "insync.sync_repos")
    fleet.ok("ct1", "sh", "-c", KILL)
    apt.update()
    assert apt.offered() in ([NEWER, *before], before)
    verb(fleet, "sync_repos")
    apt.update()
    assert apt.offered() == [NEWER, *before]
    assert verb(fleet, "repo_status")["apt"]["drift"] == {}


@pytest.mark.alone
def test_a_store_that_is_down_is_named_and_the_next_run_goes_on(fleet, released):
    verb(fleet, "rollback_repos", "debian/bookworm")
    fleet.ok("cloud", "systemctl", "stop", "nginx")
    try:
        assert "s3.cloud.test" in refused(fleet, "sync_repos")
    finally:
        fleet.ok("cloud", "systemctl", "start", "nginx")
    assert verb(fleet, "sync_repos")["apt"]["changes"].keys() == {"debian/bookworm"}


def test_what_somebody_did_to_the_bucket_is_told_and_mended(fleet, apt):
    name = fleet.ok("ct1", "cat", f"{HOME}/apt/current.json")
    manifest = f"{HOME}/apt/manifests/debian/bookworm/{json.loads(name)['debian/bookworm']}.json"
    keys = json.loads(fleet.ok("ct1", "cat", manifest))["immutable"]
    gone = ("insync_apt", next(key for key in keys if "/non-free/binary-amd64/by-hash/" in key))
    delete(gone)
    assert verb(fleet, "repo_status")["apt"]["drift"] == {"missing": [gone[1]]}
    verb(fleet, "sync_repos", "repair=True")
    assert verb(fleet, "repo_status")["apt"]["drift"] == {}


def test_what_is_not_retained_goes_when_it_is_told_to(fleet, released):
    # What a run has left that was killed, some weeks ago.
    left = f"{HOME}/apt/objects/00/{'00' * 32}"
    fleet.ok("ct1", "install", "-D", "-m", "0644", "/dev/null", left)
    fleet.ok("ct1", "touch", "--date=40 days ago", left)
    with unchanged():
        told = verb(fleet, "gc_repos")
        assert told["apt"]["local"]["objects"] == ["00" * 32]
        fleet.ok("ct1", "test", "-e", left)
        assert verb(fleet, "gc_repos", "test=False") == told
    assert fleet.run("ct1", "test", "-e", left).returncode == 1
    assert verb(fleet, "verify_repos")["apt"]["debian/bookworm"]


def test_no_secret_is_told_or_left_lying_about(fleet, released):
    key = (KEYS / "repositories.key").read_text(encoding="ascii").splitlines()
    secrets = [web.SECRETS["repos"][name] for name in ("s3_access_key", "s3_secret_key")] + [key[len(key) // 2]]
    for place in ("/var/lib/insync", "/srv/repos", "/var/log", "/var/cache/salt/master/jobs", "/var/cache/salt/minion"):
        for secret in secrets:
            assert fleet.run("ct1", "grep", "-rqF", secret, place).returncode == 1, place
    assert fleet.ok("ct1", "find", "/run", "-maxdepth", "1", "-name", "insync-gpg-*") == ""
