"""What the survey finds of systemd, wherever that reads it."""

import hashlib

import pytest


@pytest.mark.parametrize(
    "folder",
    [
        "/usr/lib/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/user",
        "/root/.config/systemd/user",
        "/home/alice/.local/share/systemd/user",
    ],
)
def test_units_that_no_package_brings_are_found_wherever_systemd_reads_them(root, folder):
    root.package("cron", [f"{folder}/cron.service", f"{folder}/cron.service.d/a.conf"])
    for name in ("cron.service", "own.service"):
        root.write(f"{folder}/{name}", "[Service]\nExecStart=/x\n")
        root.write(f"{folder}/{name}.d/a.conf")
    root.link(f"{folder}/default.target.wants/own.service", "../own.service")
    assert root.survey()["unknown"] == [
        f"unit {folder}/own.service: starts at boot, /x",
        f"unit {folder}/own.service.d/a.conf: drop-in",
    ]


@pytest.mark.parametrize("merged", [True, False])
def test_a_unit_in_lib_is_told_once_whether_or_not_that_is_a_link(root, merged):
    if merged:
        root.link("/lib", "usr/lib")
    own = "/usr/lib/systemd/system" if merged else "/lib/systemd/system"
    root.package("cron", ["/lib/systemd/system/cron.service"])
    for name in ("cron", "own"):
        root.write(f"{own}/{name}.service", "[Service]\nExecStart=/x\n")
    assert root.survey()["unknown"] == [f"unit {own}/own.service: /x"]


def packaged(root, edited=""):
    """Units of a package, with what it says they were."""
    texts = {f"/lib/systemd/system/{name}.service": f"[Service]\nExecStart=/{name}\n" for name in "abc"}
    root.package("web", list(texts))
    root.link("/lib", "usr/lib")
    for name, text in texts.items():
        root.write(f"/usr{name}", f"{text}{edited}")
    sums = {name.lstrip("/"): hashlib.md5(text.encode()).hexdigest() for name, text in texts.items()}
    root.write("/var/lib/dpkg/info/web:amd64.md5sums", "".join(f"{digest}  {name}\n" for name, digest in sums.items()))


def test_a_packaged_unit_that_was_edited_is_told(root):
    packaged(root)
    root.link("/etc/systemd/system/multi-user.target.wants/a.service", "../../../../usr/lib/systemd/system/a.service")
    root.link("/etc/systemd/system/alias.service", "/lib/systemd/system/a.service")
    assert root.survey()["unknown"] == []
    root.write("/usr/lib/systemd/system/a.service", "[Service]\nExecStart=/srv/own S3CRET\n")
    told = ["unit /usr/lib/systemd/system/a.service: starts at boot, /srv/own ..."]
    assert root.survey()["unknown"] == told
    assert root.survey(files=["/usr/lib/systemd/system/a.service"])["unknown"] == []


def test_a_packaged_unit_that_somebody_masked_is_told(root):
    packaged(root)
    for name in ("a", "b", "c", "none"):
        root.link(f"/etc/systemd/system/{name}.service", "/dev/null")
        if name != "b":
            root.write(f"/var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/{name}.service")
    # As it is masked when a package goes.
    root.link("/var/lib/systemd/deb-systemd-helper-masked/c.service", "/dev/null")
    assert root.survey()["unknown"] == ["unit /etc/systemd/system/a.service: masks that of web"]
    assert root.survey(known={"/etc/systemd/system/a.service": "quiet"})["unknown"] == []
