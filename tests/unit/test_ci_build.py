"""What runs a build and what publishes it: salt/buildbot/files/lib, with a real socket and a real index."""

import http.server
import io
import json
import pathlib
import socket
import socketserver
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import pytest

LIB = pathlib.Path(__file__).resolve().parents[2] / "salt" / "buildbot" / "files" / "lib"
# It makes the wheel that SOURCES name, a virtualenv that is none, and installs nothing.
UV = """#!/bin/sh
for word; do case $word in --out-dir=*) mkdir -p "${word#*=}"; cp "$(cat name)" "${word#*=}/" 2>/dev/null;; esac; done
echo "uv $3"
"""
WHEEL = "insync_example-1.0-py3-none-any.whl"


@pytest.fixture
def lib(monkeypatch):
    """The programs as modules."""
    monkeypatch.syspath_prepend(str(LIB))
    for name in ("frames", "submit", "publish"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import frames
    import publish
    import submit

    return type("Lib", (), {"frames": frames, "submit": submit, "publish": publish})


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "sources"
    (folder / ".hg").mkdir(parents=True)
    (folder / ".hg" / "hgrc").write_text("what nobody else reads")
    (folder / "name").write_text(WHEEL)
    wheel(folder / WHEEL)
    return folder


def wheel(path, name="insync-example", version="1.0"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("insync_example-1.0.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")
    return path


@pytest.fixture
def listening(tmp_path):
    """Answer at a socket with ``handle``; returns its path."""
    servers = []

    def _listening(handle):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                handle(self.request)

        path = str(tmp_path / "sock")
        servers.append(socketserver.ThreadingUnixStreamServer(path, Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return path

    yield _listening
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def builder(tmp_path, listening):
    """As the unit does it: a job for each that asks. Returns (path of the socket, the jobs)."""
    uv, jobs = tmp_path / "uv", []
    uv.write_text(UV)
    uv.chmod(0o755)
    environment = {"BUILD_UV": str(uv), "BUILD_INDEX": "https://index.example/", "PATH": "/usr/bin:/bin", "SECRET": "x"}

    def job(connection):
        command = [sys.executable, "-B", str(LIB / "job.py")]
        jobs.append(subprocess.Popen(command, stdin=connection, stdout=connection, env=environment, cwd=tmp_path))
        jobs[-1].wait()

    return listening(job), jobs


def submitted(lib, path, sources, steps):
    """Return (the reason that it failed for, what it said, the wheels)."""
    log, wheels = io.BytesIO(), sources.parent / "wheels"
    reason = lib.submit.submit(path, sources, wheels, steps, log)
    return reason, log.getvalue().decode(), [path.name for path in wheels.iterdir()]


def test_a_build_makes_a_wheel_and_runs_the_steps_with_nothing_of_who_asked(lib, builder, sources):
    steps = {"look": ["sh", "-c", "ls -A; env; cat"], "last": ["echo", "it is", "over"]}
    reason, said, wheels = submitted(lib, builder[0], sources, steps)
    assert (reason, wheels) == ("", [WHEEL])
    assert (
        said.index("== wheel: ") < said.index("== install: ") < said.index("== look: ") < said.index("\nit is over\n")
    )
    assert "UV_DEFAULT_INDEX=https://index.example/\n" in said
    assert ".hg" not in said and "SECRET" not in said
    assert (sources.parent / "wheels" / WHEEL).read_bytes() == (sources / WHEEL).read_bytes()


@pytest.mark.parametrize(
    "steps, reason",
    [
        ({"test": ["sh", "-c", "echo red; exit 3"], "later": ["echo", "too late"]}, "test failed: it ended with 3"),
        ({"test": ["nosuch-program"]}, "test failed: it ended with No such file or directory"),
        ({"test": ["sh", "-c", "kill -9 $$"]}, "test failed: it ended with -9"),
    ],
)
def test_what_fails_yields_no_wheel(lib, builder, sources, steps, reason):
    (sources.parent / "wheels").mkdir()
    (sources.parent / "wheels" / "of-the-build-before.whl").touch()
    found, said, wheels = submitted(lib, builder[0], sources, steps)
    assert (found, wheels) == (reason, [])
    assert "too late" not in said


def test_a_build_that_nobody_waits_for_ends(builder, sources):
    path, jobs = builder
    steps = json.dumps({"wait": ["sleep", "60"]})
    command = [sys.executable, "-B", str(LIB / "submit.py"), path, str(sources), str(sources.parent / "wheels"), steps]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    while b"sleep" not in process.stdout.readline():
        pass
    process.kill()
    process.wait()
    assert jobs[0].wait(10) == 0


def asked(builder, steps, spare):
    """Ask for a build as submit.py does, with ``spare`` blocks of zeros after the tar's end; returns (socket, job)."""
    path, jobs = builder
    before, tar = len(jobs), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w|", bufsize=tarfile.BLOCKSIZE) as archive:
        archive.addfile(tarfile.TarInfo("name"))
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(path)
    order = json.dumps({"steps": steps}).encode()
    connection.sendall(order + b"\n" + tar.getvalue() + bytes(tarfile.BLOCKSIZE * spare))
    while len(jobs) == before:
        time.sleep(0.01)
    return connection, jobs[-1]


# Of which 20 make a tar's record: what reads it ends somewhere in one, or with it, or not yet.
PADDINGS = range(21)


def test_a_build_ends_well_however_its_tar_is_padded(lib, builder):
    """The zeros after a tar's end are not the end of who asked."""
    for spare in PADDINGS:
        connection, job = asked(builder, {"test": ["sleep", "0.05"]}, spare)
        with connection, connection.makefile("rb") as stream:
            heads = [json.loads(line) for line in stream if line.startswith(b'{"kind": "end"')]
        assert (heads, job.wait(10)) == ([{"kind": "end", "size": 0}], 0), f"{spare} blocks of padding"


def test_a_build_ends_with_who_asked_however_its_tar_is_padded(builder):
    for spare in PADDINGS:
        connection, job = asked(builder, {"test": ["sleep", "60"]}, spare)
        with connection, connection.makefile("rb") as stream:
            while b"sleep" not in stream.readline():
                pass
        assert job.wait(10) == 0, f"{spare} blocks of padding"


@pytest.mark.parametrize(
    "answer, message",
    [
        (b"", "the build was cut off"),
        (b'{"kind": "log", "size": 10}\nshort', "the build was cut off"),
        (b"no json\n", "makes no sense"),
        (b'{"kind": "log", "size": -1}\n', "makes no sense"),
        (b'{"kind": "log", "size": 9999999999}\n', "makes no sense"),
        (b'{"kind": "other", "size": 0}\n', "makes no sense"),
        (b'{"kind": "wheel", "name": "../../evil-1-py3-none-any.whl", "size": 1}\nx', "is no name of a wheel"),
        (b'{"kind": "wheel", "name": "evil-1.tar.gz", "size": 1}\nx', "is no name of a wheel"),
        (b'{"kind": "wheel", "size": 1}\nx', "is no name of a wheel"),
    ],
)
def test_what_a_build_sends_is_not_believed(lib, listening, sources, answer, message):
    """A build runs what was pushed, which may take its socket for itself."""

    def answering(connection):
        with connection.makefile("rb") as stream:
            stream.readline()
            stream.read(1)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            stream.read()

    with pytest.raises(lib.frames.Broken, match=message):
        submitted(lib, listening(answering), sources, {})
    assert list((sources.parent / "wheels").iterdir()) == []


def test_the_program_that_asks_tells_and_fails(sources):
    command = [sys.executable, "-B", str(LIB / "submit.py"), "/nosuch/sock", str(sources), str(sources / "x"), "{}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "not built: " in done.stdout


# Publishing.


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "0 wheels were built"),
        ({WHEEL: {}, "insync_example-1.1-py3-none-any.whl": {}}, "2 wheels were built"),
        ({"insync_web-1.0-py3-none-any.whl": {"name": "insync-web"}}, "is no wheel of insync-example"),
        ({WHEEL: {"name": "insync-web"}}, "is no wheel of insync-example: its metadata say insync-web"),
        ({"insync_web-1.0-py3-none-any.whl": {}}, "is no wheel of insync-example"),
        ({WHEEL: {"version": "2.0"}}, "its metadata say version 2.0"),
    ],
)
def test_only_the_wheel_of_the_declared_package_is_published(lib, tmp_path, files, message):
    for name, facts in files.items():
        wheel(tmp_path / name, **facts)
    with pytest.raises(lib.publish.Refused, match=message):
        lib.publish.wheel_of(tmp_path, "insync-example")


def test_what_is_no_archive_is_refused(lib, tmp_path):
    (tmp_path / WHEEL).write_bytes(b"no zip")
    with pytest.raises(lib.publish.Refused, match=WHEEL):
        lib.publish.wheel_of(tmp_path, "Insync.Example")


@pytest.fixture
def index():
    """An index that has version 1.0; returns its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = {"/insync/staging/+simple/insync-example/": (200, f'<a href="x">{WHEEL}</a>'), "/broken": (500, "")}
            status, text = known.get(self.path, (500 if "broken" in self.path else 404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/insync/staging"
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(lib, tmp_path, monkeypatch):
    """Publish a wheel; returns (status, the calls of twine: (arguments, environment))."""
    calls = []

    def call(command, env):
        calls.append((command, env))
        return 0

    def _published(index, name="insync-example", version="1.0"):
        folder = tmp_path / "wheels"
        folder.mkdir()
        wheel(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", name, version)
        (tmp_path / "password").write_text("""lab "quoted" 'secret' \n""")
        monkeypatch.setattr(lib.publish.subprocess, "call", call)
        return lib.publish.main(folder, "insync-example", index, "uploader", tmp_path / "password", None), calls

    return _published


def test_a_new_version_is_uploaded_and_its_password_stays_out_of_the_arguments(published, index):
    status, calls = published(index, version="1.1")
    assert status == 0
    ((command, environment),) = calls
    assert command[-1].endswith("/insync_example-1.1-py3-none-any.whl") and f"{index}/" in command
    assert environment["TWINE_PASSWORD"] == """lab "quoted" 'secret' """
    assert "secret" not in str(command)


def test_a_version_that_is_there_is_not_replaced(published, index, capsys):
    assert published(index) == (3, [])
    assert "needs another version" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["http://127.0.0.1:1/insync/staging", "broken"])
def test_nothing_is_uploaded_to_an_index_that_does_not_answer(published, index, where, capsys):
    url = where if where.startswith("http") else index.replace("staging", "broken")
    assert published(url, version="1.1") == (1, [])
    assert "not published: " in capsys.readouterr().out
