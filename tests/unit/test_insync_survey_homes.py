"""What users keep is found wherever their homes are, and a home that another server keeps holds nothing up."""

import pathlib

import insync_survey_system
import pytest

UNIT = ".config/systemd/user/own.service"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx" + "A" * 41


def account(root, user, home):
    with (root.path / "etc/passwd").open("a") as file:
        file.write(f"{user}:x:1000:1000::{home}:/usr/sbin/nologin\n")


def plant(root, home):
    root.write(f"{home}/{UNIT}", "[Service]\nExecStart=/x\n")
    root.write(f"{home}/.ssh/authorized_keys", f"{KEY}\n")


def found(root):
    """(The units, the keys, what was not looked at)."""
    survey = root.survey()
    return *([row["path"] for row in survey["found"][kind]] for kind in ("units", "keys")), survey["incomplete"]


@pytest.mark.parametrize(
    "home", ["/srv/app", "/var/lib/app", "/opt/a [b]*", "/", "/home/team/app", "/root/../srv/app/"]
)
def test_it_is_found_in_the_home_of_every_account(root, home):
    account(root, "app", home)
    plant(root, home)
    place = {"/": "", "/root/../srv/app/": "/srv/app"}.get(home, home)
    assert found(root) == ([f"{place}/{UNIT}"], [f"{place}/.ssh/authorized_keys"], [])


def test_a_home_of_several_names_is_told_once_and_one_without_an_account_too(root):
    plant(root, "/data/app")
    plant(root, "/home/gone")
    root.link("/home/app", "../data/app")
    root.link("/srv/app", "../data/app")
    for user, home in {"app": "/home/app", "two": "/srv/app", "three": "/data/app", "none": "", "no": "x"}.items():
        account(root, user, home)
    units, keys, incomplete = found(root)
    assert (units, incomplete) == ([f"/home/app/{UNIT}", f"/home/gone/{UNIT}"], [])
    # Each of them can enter.
    assert len(keys) == 3


def test_homes_of_the_system_make_nothing_up(root):
    for number, home in enumerate(("/nonexistent", "/dev", "/bin", "/usr/sbin", "/var/mail", "/", "/run/sshd", "/etc")):
        account(root, f"system{number}", home)
    root.write("/usr/sbin/own.service", "[Service]\nExecStart=/x\n")
    assert found(root) == ([], [], [])


@pytest.mark.parametrize(
    "place, kind, told",
    [
        ("/srv/far", "nfs4", "/srv/far: a nfs4, not looked at"),
        ("/mnt", "fuse.sshfs", "/mnt: a fuse.sshfs, not looked at"),
        ("/home", "autofs", "/home: a autofs, not looked at"),
    ],
)
def test_a_home_on_another_server_is_told_and_not_touched(root, monkeypatch, place, kind, told):
    root.write("/proc/mounts", f"far {place} {kind} rw 0 0\n")
    for user, home in {"a": "/srv/far/a", "b": "/srv/b", "c": "/home/c"}.items():
        account(root, user, home)
    for home in ("/srv/far/a", "/mnt/b", "/home/c"):
        plant(root, home)
    root.link("/srv/b", "../srv/../mnt/./b")
    touched, real = [], pathlib.Path.glob

    def glob(self, pattern):
        for path in real(self, pattern):
            touched.append(f"/{path.relative_to(root.path)}")
            yield path

    monkeypatch.setattr(pathlib.Path, "glob", glob)
    units, keys, incomplete = found(root)
    assert incomplete == [told] and len(units) == len(keys) == 2
    assert not [name for name in touched if name.startswith(f"{place}/")]


def test_a_file_that_another_server_keeps_is_not_opened(root):
    root.write("/proc/mounts", "far /mnt nfs4 rw 0 0\n")
    root.write("/mnt/keys", KEY)
    account(root, "app", "/var/lib/app")
    root.link("/var/lib/app/.ssh/authorized_keys", "/mnt/keys")
    assert found(root) == ([], [], ["/mnt: a nfs4, not looked at"])


def test_homes_below_var_are_read_as_little_as_others(root, monkeypatch):
    monkeypatch.setattr(insync_survey_system, "READ", 10)
    account(root, "app", "/var/lib/app")
    for number in range(3):
        root.write(f"/var/lib/app/.ssh/authorized_keys{number}", "x" * 8)
    assert found(root) == ([], [], ["/var/lib/app: too much to read"])


def test_links_without_an_end_are_left(root):
    root.link("/srv/app", "app")
    account(root, "app", "/srv/app")
    assert found(root) == ([], [], [])
