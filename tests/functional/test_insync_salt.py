"""Installing a Salt release from a wheelhouse, and restarts of Salt's services."""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import salt.utils.systemd

from tests.functional.private import private_world

OLD, NEW = "0" * 12, "1" * 12


def wheelhouse(folder, release):
    """Make ``salt-<release>.tar`` in ``folder``: a real wheel, whose module knows its release, and that of uv."""
    uv = pathlib.Path(sys.executable).with_name("uv").read_bytes()
    wheels = [
        _wheel(folder, "insync_probe", {"insync_probe.py": f"release = {release!r}\n"}),
        _wheel(folder, "uv", {"uv-1.data/scripts/uv": uv}),
    ]
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}\n" for one in wheels))
    tar = folder / f"salt-{release}.tar"
    with tarfile.open(tar, "w") as archive:
        for path in (*wheels, sums):
            archive.add(path, path.name)
            path.unlink()
    return tar


def _wheel(folder, name, files):
    path = folder / f"{name}-1-py3-none-any.whl"
    told = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for where, content in (files | {f"{name}-1.dist-info/{file}": text for file, text in told.items()}).items():
            archive.writestr(where, content)
    return path


@pytest.fixture
def link(tmp_path):
    return tmp_path / "opt" / "salt"


@pytest.fixture
def served(tmp_path):
    """Where the wheelhouses are that the master serves."""
    folder = tmp_path / "served" / "salt_release" / "files"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def installed(single, tmp_path, link, served):
    """Apply the state for a release that the master serves."""
    link.parent.mkdir()

    def _installed(release, test=False):
        if not (served / f"salt-{release}.tar").exists():
            shutil.move(wheelhouse(tmp_path, release), served)
        source = f"salt://salt_release/files/salt-{release}.tar"
        return single("insync_salt.installed", name=str(link), release=release, source=source, test=test)

    return _installed


def release_of(link):
    """The release that the Python behind the link really imports."""
    code = "import insync_probe; print(insync_probe.release)"
    return subprocess.run(
        [link / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_new_same_and_different(installed, link, served):
    first = installed(OLD, test=True)
    assert (first["result"], first["changes"]) == (None, {"release": {"old": None, "new": OLD}})
    assert list(link.parent.iterdir()) == [], "test mode touches nothing"

    first = installed(OLD)
    assert (first["result"], first["changes"]) == (True, {"release": {"old": None, "new": OLD}})
    assert release_of(link) == OLD

    for test in (True, False):
        again = installed(OLD, test=test)
        assert (again["result"], again["changes"]) == (True, {})

    change = {"release": {"old": OLD, "new": NEW}}
    other = installed(NEW, test=True)
    assert (other["result"], other["changes"]) == (None, change)
    assert sorted(path.name for path in link.parent.iterdir()) == ["salt", f"salt-{OLD}"]

    other = installed(NEW)
    assert (other["result"], other["changes"]) == (True, change)
    assert release_of(link) == NEW
    assert sorted(path.name for path in link.parent.iterdir()) == ["salt", f"salt-{OLD}", f"salt-{NEW}"], "the way back"
    assert sorted(path.name for path in served.iterdir()) == [f"salt-{OLD}.tar", f"salt-{NEW}.tar"], "only read"


def test_a_release_that_is_not_served(single, link):
    source = "salt://salt_release/files/salt-222222222222.tar"
    result = single("insync_salt.installed", name=str(link), release="222222222222", source=source)
    assert (result["result"], result["changes"]) == (False, {})
    assert f"the master does not serve {source}" in result["comment"]


def test_a_damaged_wheelhouse_leaves_the_old_release(installed, tmp_path, link, served):
    assert installed(OLD)["result"] is True
    data = wheelhouse(tmp_path, NEW).read_bytes()
    (served / f"salt-{NEW}.tar").write_bytes(data.replace(b"insync_probe.py", b"insync_probe.pi"))
    result = installed(NEW)
    assert (result["result"], result["changes"]) == (False, {})
    assert "checksum" in result["comment"]
    assert release_of(link) == OLD


def test_nothing_changed_needs_no_restart(single, testmode):
    result = single("insync_salt.restarted_when_idle", name="salt-minion", test=testmode)
    assert (result["result"], result["changes"]) == (True, {})


def watching(name, path):
    return {
        "salt-config": {"file": ["managed", {"name": str(path)}, {"contents": "id: web02"}]},
        "salt-restart": {
            "insync_salt": ["restarted_when_idle", {"name": name}, {"watch": [{"file": "salt-config"}]}],
        },
    }


def test_a_service_that_does_not_run_needs_no_restart(high, tmp_path, testmode):
    result = high(watching("insync-nothing", tmp_path / "config"), testmode)["salt-restart"]
    assert (result["result"], result["changes"]) == (True, {})
    assert "does not run" in result["comment"]


@private_world
def test_a_running_service_restarts_later(high, tmp_path, testmode):
    """Without the unit that restarts it later, the state fails: nothing was scheduled, and that is told."""
    data = watching(running_service(), tmp_path / "config")
    result = high(data, testmode)["salt-restart"]
    if testmode:
        assert (result["result"], list(result["changes"].values())) == (None, ["restart when idle"])
    else:
        assert (result["result"], result["changes"]) == (False, {})
        assert "systemctl start --no-block insync-restart@" in result["comment"]


def running_service():
    """A service that runs: one of systemd's where it is at work, else one made here."""
    if salt.utils.systemd.booted():
        return "systemd-journald"
    script = pathlib.Path("/etc/init.d/insync-probe")
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    return script.name
