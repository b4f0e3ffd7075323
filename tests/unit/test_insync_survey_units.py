"""What the survey finds of systemd, wherever that reads it."""

import hashlib

import insync_survey_lines
import insync_survey_system
import insync_survey_units
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
    assert root.survey(files=["/usr/lib/systemd/system/a.service"])["unknown"] == told
    root.write("/usr/lib/systemd/system/a.service", "# Managed by Salt.\n[Service]\nExecStart=/srv/own S3CRET\n")
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


SHOWN = "\n".join(
    f"{unit} loaded active {state} x"
    for unit, state in {
        "run-u12.service": "running",
        "passing.service": "running",
        "gone.service": "running",
        "a.service": "running",
        "job@1.2-x.service": "running",
        "own.service": "running",
        "legacy.service": "running",
        "mine.service": "running",
        "done.service": "exited",
    }.items()
)


def test_a_service_that_runs_without_a_file_is_told(root, monkeypatch):
    root.package("web", ["/lib/systemd/system/a.service", "/lib/systemd/system/job@.service"])
    for name in ("a", "job@"):
        root.write(f"/lib/systemd/system/{name}.service")
    for name in ("own", "mine"):
        root.write(f"/etc/systemd/system/{name}.service", "[Service]\nExecStart=/own\n")
    root.write("/etc/init.d/legacy")
    command = 'ExecStart="/usr/bin/python3" "/srv/x.py" "--key=hunter2" "hunter2"'
    root.write("/run/systemd/transient/run-u12.service", f"# This is a transient unit file\n[Service]\n{command}\n")
    root.write("/run/systemd/system/passing.service", "[Service]\nExecStart=/passing\n")
    root.write("/srv/x.py")
    monkeypatch.setattr(insync_survey_system.System, "ask", lambda *_, **__: SHOWN)
    system = insync_survey_system.System(root.path, {"files": ["/etc/systemd/system/mine.service"]})
    system.live = True
    found = dict.fromkeys(insync_survey_lines.ASKED, ()) | {"services": insync_survey_units.running(system)[0]}
    assert insync_survey_lines.unknown(found) == [
        "service run-u12.service, /usr/bin/python3 /srv/x.py --key=... ...",
        "service passing.service, /passing",
        "service gone.service",
    ]
    assert {row["unit"]: row["by"] for row in found["services"]} == {
        "run-u12.service": "",
        "passing.service": "",
        "gone.service": "",
        "a.service": "package web",
        "job@1.2-x.service": "package web",
        "own.service": "unit /etc/systemd/system/own.service",
        "legacy.service": "unit /etc/init.d/legacy",
        "mine.service": "salt",
    }
