"""What the survey finds of systemd, wherever that reads it."""

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
