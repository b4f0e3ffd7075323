"""Real clients, by http: what they install, what they ask for, and what they see after a rollback."""

import contextlib
import functools
import http.server
import subprocess
import threading

import insync_repos
import pytest

APT = """
Dir "{folder}"; Dir::State::status "{folder}/status"; Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::main "/dev/null"; Dir::Etc::parts "/dev/null"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::trusted "/dev/null"; Dir::Etc::trustedparts "/dev/null"; Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; APT::Sandbox::User "root";
APT::Update::Error-Mode "any"; Acquire::Retries "0"; Acquire::http::Proxy "DIRECT";
"""
DNF = """[main]
reposdir={folder}/none
varsdir={folder}/none
cachedir={folder}/cache
persistdir={folder}/persist
logdir={folder}
proxy=
[insync]
name=insync
{source}
gpgcheck=1
repo_gpgcheck=1
gpgkey={url}/insync.asc
skip_if_unavailable=0
"""


@contextlib.contextmanager
def serving(folder):
    """Serve a folder by http; yields its address, and the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            asked.append(self.path)

        def send_head(self):
            # Two publications of a test may fall into one second, which is all that Last-Modified tells apart.
            del self.headers["If-Modified-Since"]
            return super().send_head()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client(tmp_path):
    """The folder of a client."""
    folder = tmp_path / "client"
    folder.mkdir()
    yield folder
    # Where dnf keeps keys, gpg has left an agent.
    for ring in folder.rglob("pubring"):
        subprocess.run(["gpgconf", "--homedir", ring, "--kill", "all"], check=True)


def run(*command, **environment):
    """What a client prints."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/nonexistent", **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=environment.get("TMPDIR"))
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_apt(repository, client):
    repository.add("1.0")
    repository.add("1.1")
    for name in ("var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt"):
        (client / name).mkdir(parents=True)
    (client / "status").touch()
    (client / "apt.conf").write_text(APT.format(folder=client))
    with serving(repository.published()) as (url, asked):
        signed, place = f"signed-by={client}/insync.asc", f"{url}/ubuntu noble non-free contrib"
        (client / "insync.asc").write_text(repository.keys.public("insync"))
        (client / "sources.list").write_text(f"deb [{signed}] {place}\n")
        apt = functools.partial(run, APT_CONFIG=str(client / "apt.conf"), TMPDIR=str(client))
        assert "Ign:" not in apt("apt-get", "update")
        assert not [path for path in asked if path.endswith(("Packages", "Packages.gz", "/Release"))]
        assert [path for path in asked if "/non-free/binary-amd64/by-hash/SHA256/" in path]
        assert "Candidate: 1.1" in apt("apt-cache", "policy", "insync")
        apt("apt-get", "download", "insync", "insync-nautilus=1.0")
        assert {path.name for path in client.glob("*.deb")} == {"insync_1.1_amd64.deb", "insync-nautilus_1.0_all.deb"}
        repository.roll_back({"ubuntu/noble": None})
        repository.published()
        apt("apt-get", "update")
        assert "Candidate: 1.0" in apt("apt-cache", "policy", "insync")


@pytest.mark.parametrize("repository", ["yum"], indirect=True)
@pytest.mark.parametrize("source", ["baseurl={url}/fedora/$releasever/", "mirrorlist={url}/fedora/41/mirrorlist"])
def test_dnf(repository, tmp_path, client, source):
    with serving(tmp_path / "published") as (url, asked):
        repository.declared["yum"]["url"] = url
        repository.root = insync_repos.Root(tmp_path / "repos", "yum", repository.declared)
        repository.add("1.0")
        repository.add("1.1")
        repository.published()
        (client / "dnf.conf").write_text(DNF.format(folder=client, url=url, source=source.format(url=url)))
        options = ["--assumeyes", "--noplugins", "--config", str(client / "dnf.conf"), "--releasever=41"]
        dnf = functools.partial(run, "dnf", *options, f"--installroot={client}/root")
        dnf("install", "insync", "insync-nautilus-1.0")
        installed = ["rpm", "--root", str(client / "root"), "-q", "--queryformat", "%{NAME} %{VERSION}\n"]
        assert run(*installed, "insync", "insync-nautilus") == "insync 1.1\ninsync-nautilus 1.0\n"
        of_snapshot = [path for path in asked if "/snapshots/2/" in path]
        assert bool(of_snapshot) == source.startswith("mirrorlist")
        repository.roll_back({"fedora/41": None})
        repository.published()
        dnf("--refresh", "distro-sync")
        assert run(*installed, "insync") == "insync 1.0\n"
