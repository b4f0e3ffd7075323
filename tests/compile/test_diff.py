"""The comparison with another revision, in a repository of three servers."""

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEPT = ("ct1", "db", "web02")
# What needs no other server.
ROLES = {"ssh_gateway", "salt_master"}


@pytest.fixture
def repository(tmp_path_factory):
    """This checkout, cut to three servers, as a repository with one commit; gpg's sockets need a short path."""
    root = tmp_path_factory.mktemp("diff") / "repository"
    root.mkdir()
    names = subprocess.run([ROOT / "bootstrap" / "files"], capture_output=True, check=True).stdout
    files = subprocess.run(
        ["tar", "-C", ROOT, "-cf", "-", "-T", "-"], input=names, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-C", root, "-xf", "-"], input=files, check=True)
    inventory = root / "pillar" / "inventory" / "hosts.yaml"
    hosts = yaml.safe_load(inventory.read_text())
    for host in hosts.values():
        host["roles"] = [role for role in host["roles"] if role in ROLES]
    inventory.write_text(yaml.safe_dump({name: hosts[name] for name in KEPT}))
    git(root, "init", "--quiet")
    commit(root)
    return root


def git(root, *arguments):
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", "-C", root, *author, *arguments], capture_output=True, text=True, check=True).stdout


def commit(root):
    git(root, "add", "--all", ".")
    git(root, "commit", "--quiet", "--message", "State of the test")


def edit(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def diff(root, revision):
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TMPDIR": str(root.parent)}
    command = [sys.executable, "-m", "lab.diff", revision]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_nothing_differs_and_nothing_is_left_behind(repository):
    before = sorted(repository.parent.iterdir())
    done = diff(repository, "HEAD")
    assert (done.returncode, done.stdout) == (0, "every server stays as it is\n"), done.stderr
    assert git(repository, "status", "--porcelain") == ""
    assert sorted(repository.parent.iterdir()) == before


def test_each_change_is_listed_once_with_the_servers_that_it_touches(repository):
    edit(repository / "salt/sshd/files/sshd_config.j2", "LoginGraceTime 30", "LoginGraceTime 40")
    edit(repository / "pillar/role/salt_master.sls", "worker_threads: 3", "worker_threads: 5")
    edit(repository / "salt/role/base/init.sls", "  - journal\n", "")
    edit(repository / "salt/role/base/init.sls", "  - host\n  - clock\n", "  - clock\n  - host\n")
    edit(repository / "salt/clock/init.sls", "clock-timezone:", "clock-zone:")
    commit(repository)
    done = diff(repository, "HEAD~1")
    assert done.returncode == 2, done.stderr
    changes = [change.splitlines() for change in done.stdout.split("\n\n")]
    by_name = {lines[0]: lines[1:] for lines in changes}
    every = "  on 3: ct1 db web02"
    sshd = by_name["state sshd-config (file.managed /etc/ssh/sshd_config)"]
    assert sshd == ["  -| LoginGraceTime 30", "  +| LoginGraceTime 40", every]
    assert by_name["pillar:salt_master:worker_threads"] == ["  -3", "  +5", "  on 1: ct1"]
    assert by_name["gone: state journal-service (service.running systemd-journald)"] == [every]
    assert by_name["gone: state clock-timezone (timezone.system Etc/UTC)"] == [every]
    assert by_name["new: state clock-zone (timezone.system Etc/UTC)"][-1] == every
    assert by_name["the same states run in another order"] == [every]
    assert len(by_name) == len(changes)
    assert changes[-1] == [f"{len(changes) - 1} changes"]


def test_servers_come_and_go_and_secrets_change_without_being_shown(repository):
    inventory = repository / "pillar" / "inventory" / "hosts.yaml"
    hosts = yaml.safe_load(inventory.read_text())
    inventory.write_text(yaml.safe_dump({("redis" if name == "db" else name): host for name, host in hosts.items()}))
    twins = repository / "lab" / "fake_secrets.yaml"
    old = yaml.safe_load(twins.read_text())["base"]["console_password_hash"]
    edit(twins, old, 'it\'s "another" value')
    done = diff(repository, "HEAD")
    assert done.returncode == 2, done.stderr
    assert "the server is new\n  on 1: redis\n" in done.stdout
    assert "the server is gone\n  on 1: db\n" in done.stdout
    assert "pillar:secrets:base:console_password_hash" in done.stdout
    assert "state console-root (user.present root)" in done.stdout
    assert old not in done.stdout and "another" not in done.stdout


@pytest.mark.parametrize(
    "damage, revision, message",
    [
        (lambda root: None, "nowhere", "there is no revision 'nowhere'"),
        (lambda root: None, "", "there is no revision ''"),
        (lambda root: (root / "top.sls").write_text("{{"), "HEAD", "this checkout does not compile: "),
        (
            lambda root: git(root, "rm", "--quiet", "lab/compile.py") or commit(root),
            "HEAD",
            "HEAD has no lab/compile.py",
        ),
    ],
)
def test_what_cannot_be_compared_is_an_error(repository, damage, revision, message):
    damage(repository)
    done = diff(repository, revision)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
