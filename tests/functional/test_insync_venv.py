"""Virtualenvs built by uv from a package index on loopback."""

import functools
import hashlib
import http.server
import marshal
import os
import subprocess
import threading
import zipfile

import insync_venv
import pytest


def wheel(folder, version):
    """Write a real wheel of insync-probe; return its requirement with the hash."""
    path = folder / "insync-probe" / f"insync_probe-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    info = f"insync_probe-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("insync_probe.py", f"version = {version!r}\n")
        archive.writestr("insync_probe_same.py", "same = True\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: insync-probe\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"insync-probe=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def served(tmp_path):
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


@pytest.fixture
def index(served):
    """The URL of an index that serves the folder ``served``."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_venv, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(insync_venv, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(insync_venv, "PYTHON", "python3.11")


def says(home):
    done = [home / "bin" / "python", "-c", "import insync_probe; print(insync_probe.version)"]
    return subprocess.run(done, capture_output=True, text=True, check=True).stdout.strip()


def test_a_release_is_built_once_and_the_link_moves(tmp_path, served, index):
    link, homes = tmp_path / "venv" / "probe", []
    for version in ("1.0.0", "1.1.0"):
        lock = wheel(served, version)
        homes.append(link.with_name(f"probe-{insync_venv.release_id(lock)}"))
        assert insync_venv.build(homes[-1], lock, index=index) is True
        insync_venv.switch(link, homes[-1])
        assert says(link) == version
    assert insync_venv.build(homes[0], "no matter what", index="http://127.0.0.1:1/") is False
    assert os.readlink(link) == homes[1].name
    assert says(homes[0]) == "1.0.0", "the release before is untouched"
    assert list((homes[1] / "lib").rglob("insync_probe*.pyc")), "compiled: nobody writes into it later"


def compiled_at(home, module):
    """Where the bytecode of a module of ``home`` was made, as written in it."""
    (bytecode,) = (home / "lib").rglob(f"{module}.*.pyc")
    return marshal.loads(bytecode.read_bytes()[16:]).co_filename


@pytest.mark.parametrize("edited", [False, True])
def test_bytecode_of_what_stays_is_taken_over_unless_somebody_edited_it(tmp_path, served, index, edited):
    former, home = tmp_path / "probe-1", tmp_path / "probe-2"
    insync_venv.build(former, wheel(served, "1.0.0"), index=index)
    (same,) = (former / "lib").rglob("insync_probe_same.py")
    if edited:
        same.write_text("same = 'edited'\n")
    assert insync_venv.build(home, wheel(served, "1.1.0"), index=index, former=former) is True
    taken_from = home if edited else former
    assert compiled_at(home, "insync_probe_same").startswith(f"{taken_from}/")
    assert compiled_at(home, "insync_probe").startswith(f"{home}/"), "it is another version"
    assert says(home) == "1.1.0"
    verbose = [str(home / "bin" / "python"), "-v", "-c", "from insync_probe_same import same; assert same is True"]
    told = subprocess.run(verbose, capture_output=True, text=True, check=True).stderr
    assert f"matches {home / same.relative_to(former)}" in told, "and it counts"


def test_what_was_left_half_built_is_built_anew(tmp_path, served, index):
    lock = wheel(served, "1.0.0")
    home = tmp_path / "probe-1"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").write_text("half")
    assert insync_venv.build(home, lock, index=index) is True
    assert says(home) == "1.0.0"


HASH = " --hash=sha256:" + "0" * 64
REFUSED = [
    ("insync-nosuch==1.0.0" + HASH, "insync-nosuch was not found in the package registry"),
    ("insync-probe==9.9.9" + HASH, "there is no version of insync-probe==9.9.9"),
    ("insync-probe==1.0.0" + HASH, "Hash mismatch for `insync-probe==1.0.0`"),
    ("insync-probe==1.0.0", "all requirements must have a hash"),
]


@pytest.mark.parametrize("lock, message", REFUSED)
def test_what_the_index_does_not_have_is_one_line_and_leaves_nothing(tmp_path, served, index, lock, message):
    wheel(served, "1.0.0")
    with pytest.raises(insync_venv.VenvError) as caught:
        insync_venv.build(tmp_path / "probe-1", lock + "\n", index=index)
    assert message.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("probe-1*")) == []


def test_an_index_that_is_down_is_said_to_be(tmp_path, served):
    with pytest.raises(insync_venv.VenvError) as caught:
        insync_venv.build(tmp_path / "probe-1", wheel(served, "1.0.0"), index="http://127.0.0.1:1/simple/")
    assert "127.0.0.1:1" in str(caught.value)
    assert not (tmp_path / "probe-1").exists()


def test_two_builds_of_one_release_do_not_meet(tmp_path, served, index):
    lock = wheel(served, "1.0.0")
    with insync_venv._alone(tmp_path / "probe-1"):
        with pytest.raises(insync_venv.VenvError, match="is being built by another run"):
            insync_venv.build(tmp_path / "probe-1", lock, index=index)
    assert insync_venv.build(tmp_path / "probe-1", lock, index=index) is True


def resolve(pins, index, **wanted):
    return insync_venv.resolve(pins, "insync-probe", {f"insync-{name}": v for name, v in wanted.items()}, index=index)


def test_only_what_is_asked_for_moves(served, index):
    old, new = wheel(served, "1.0.0"), wheel(served, "1.1.0")
    hashed = {"1.0.0": old.split()[1], "1.1.0": new.split()[1]}
    for wanted, version in (({}, "1.0.0"), ({"probe": ""}, "1.1.0"), ({"probe": "1.1.0"}, "1.1.0")):
        assert resolve(old, index, **wanted).split() == [f"insync-probe=={version}", "\\", hashed[version]], wanted
    assert resolve(new, index, probe="1.0.0").split()[2] == hashed["1.0.0"], "and back"


def test_what_cannot_be_is_one_line(served, index):
    pins = wheel(served, "1.0.0")
    with pytest.raises(insync_venv.VenvError, match=r"no version of insync-probe==9\.9\.9") as caught:
        resolve(pins, index, probe="9.9.9")
    assert "\n" not in str(caught.value)
