"""The repositories as customers see them, from insync-world; and the verbs on ct1 that make and publish them."""

import json
import re

import yaml

from lab import podman, s3
from tests.fleet.conftest import ROOT

LAB = yaml.safe_load((ROOT / "lab" / "lab.yaml").read_text(encoding="utf-8"))
FORMER, NEW, NEWER = LAB["client_versions"]
APT, YUM = "http://apt.insync.io", "http://yum.insync.io"
BUCKETS = ("insync_apt", "insync_yum")
HOME = "/srv/repos"


def verb(fleet, name, *arguments, timeout=300):
    """Return what a verb on ct1 returns; it has to succeed."""
    command = ["salt", "ct1", f"insync.{name}", *arguments, "--static", "--out=json"]
    done = fleet.run("ct1", *command, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["ct1"]


def refused(fleet, name, *arguments):
    """Return the line with which a verb on ct1 ends; with it comes exit code 1, and no traceback."""
    done = fleet.run("ct1", "salt", "ct1", f"insync.{name}", *arguments)
    assert (done.returncode, "Traceback" in done.stdout) == (1, False), done.stdout + done.stderr
    return " ".join(done.stdout.split())


def release(fleet, version, *words):
    """Run a release; return the CompletedProcess, its answer as JSON."""
    return fleet.run("ct1", "salt-run", "insync.release_client", version, *words, "--out=json", timeout=600)


def published():
    """Return {(bucket, key): ETag} of all that is published."""
    with podman.network("cloud"):
        store = s3.client()
        listed = {name: store.get_paginator("list_objects_v2").paginate(Bucket=name) for name in BUCKETS}
        return {
            (bucket, entry["Key"]): entry["ETag"]
            for bucket, pages in listed.items()
            for page in pages
            for entry in page.get("Contents", [])
        }


def delete(*objects):
    """Delete ``objects``, each as (bucket, key), behind the back of the verbs."""
    with podman.network("cloud"):
        store = s3.client()
        for bucket, key in objects:
            store.delete_object(Bucket=bucket, Key=key)


def blank(fleet):
    """Let nothing have been released: neither here, nor in the store, nor to customers."""
    delete(*published())
    folders = [f"{HOME}/apt", f"{HOME}/yum", *(f"/var/lib/insync/{area}" for area in ("repos", "versions"))]
    fleet.ok("ct1", "rm", "-rf", *folders)
    fleet.ok("ct1", "find", "/var/lib/insync/client", "-type", "f", "-delete")
    # Customers are told the declared versions again.
    verb(fleet, "conf_load")


class Apt:
    """A Debian 12 of a customer: its own lists and sources, and insync-world's own dpkg."""

    def __init__(self, fleet, name, suite="debian bookworm"):
        self.fleet, self.folder = fleet, f"/srv/customers/{name}"
        fleet.ok("world", "rm", "-rf", self.folder)
        fleet.ok("world", "mkdir", "-p", f"{self.folder}/state/lists/partial", f"{self.folder}/cache/archives/partial")
        key = fleet.ok("world", "curl", "--silent", "--fail", f"{APT}/insync.asc")
        family, codename = suite.split()
        source = f"deb [signed-by={self.folder}/insync.asc] {APT}/{family} {codename} non-free contrib\n"
        for name, text in (("insync.asc", key), ("sources.list", source), ("apt.conf", self._config())):
            fleet.ok("world", "sh", "-c", 'cat > "$0"', f"{self.folder}/{name}", stdin=text)

    def _config(self):
        places = {"State": "state", "Cache": "cache", "Etc::sourcelist": "sources.list"}
        lines = [f'Dir::{name} "{self.folder}/{place}";' for name, place in places.items()]
        lines += ['Dir::State::status "/var/lib/dpkg/status";', 'Dir::Etc::sourceparts "/dev/null";']
        lines += ['Acquire::Retries "0";', 'APT::Sandbox::User "root";', 'APT::Update::Error-Mode "any";']
        return "\n".join(lines) + "\n"

    def run(self, *words):
        """Run ``apt-get`` with ``words``; return the CompletedProcess."""
        return self.fleet.run("world", "env", f"APT_CONFIG={self.folder}/apt.conf", "apt-get", *words)

    def update(self):
        """Fetch the lists; return what apt-get says."""
        done = self.run("update")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def offered(self):
        """Return the versions of insync that are on offer, the newest first."""
        command = ["env", f"APT_CONFIG={self.folder}/apt.conf", "apt-cache", "madison", "insync"]
        return [line.split("|")[1].strip() for line in self.fleet.ok("world", *command).splitlines()]

    def install(self, *words):
        """Install ``words``; return the version that the installed program tells."""
        done = self.run("install", "--yes", "--allow-downgrades", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.fleet.ok("world", "insync").strip()

    def remove(self):
        """Leave insync-world without it."""
        self.run("purge", "--yes", "insync")


class Dnf:
    """A Fedora 41 of a customer, below a folder; ``source`` is its line baseurl= or mirrorlist=."""

    def __init__(self, fleet, name, source):
        self.fleet, self.root = fleet, f"/srv/customers/{name}"
        fleet.ok("world", "rm", "-rf", self.root)
        fleet.ok("world", "mkdir", "-p", f"{self.root}/repos")
        lines = ["[insync]", "name=insync", source, "gpgcheck=1", "repo_gpgcheck=1", f"gpgkey={YUM}/insync.asc"]
        lines += ["skip_if_unavailable=0", "metadata_expire=0"]
        text = "\n".join(lines) + "\n"
        fleet.ok("world", "sh", "-c", 'cat > "$0"', f"{self.root}/repos/insync.repo", stdin=text)

    def run(self, *words):
        """Run ``dnf`` with ``words``; return the CompletedProcess."""
        where = [f"--installroot={self.root}/root", "--releasever=41", f"--setopt=reposdir={self.root}/repos"]
        return self.fleet.run("world", "dnf", "--quiet", "--assumeyes", *where, "--setopt=retries=0", *words)

    def change(self, *words):
        """Run ``dnf`` with ``words``; return the version of insync that is installed then."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        said = self.fleet.ok("world", f"{self.root}/root/usr/bin/insync")
        return re.search(r"[0-9.]+", said)[0]
