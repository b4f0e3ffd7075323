"""A real devpi-server on loopback, from the locked requirements, and a stand-in for the public index."""

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile

from lab.paths import CACHE, ROOT

FILES = ROOT / "salt" / "devpi" / "files"
PLUGIN = FILES / "plugin"
QUICK_HASHES = pathlib.Path(__file__).with_name("quick")
GUARD = ("--reserved-prefixes", "insync-")
ROOT_PASSWORD = "root \"password\" '#1' ü"
# As the unit has them: without them each start takes seconds and 512 MB.
QUICK = ("--argon2-memory-cost", "1024", "--argon2-time-cost", "1")


@functools.cache
def virtualenv():
    """Return the virtualenv with devpi, kept on this machine from one run of the tests to the next."""
    lock = FILES / "requirements.txt"
    home = CACHE / f"devpi-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (home / ".complete").exists():
        for old in CACHE.glob("devpi-*"):
            shutil.rmtree(old)
        uv = pathlib.Path(sys.executable).with_name("uv")
        python = home / "bin" / "python"
        subprocess.run([uv, "--quiet", "venv", "--python", sys.executable, home], check=True)
        sync = [uv, "--quiet", "pip", "sync", "--require-hashes", "--compile-bytecode", "--python", python, lock]
        subprocess.run(sync, check=True)
        (home / ".complete").touch()
    return home


def environment(plugin=True):
    """Return what devpi finds in its environment, with or without our plugin."""
    path = ":".join(map(str, [QUICK_HASHES, PLUGIN] if plugin else [QUICK_HASHES]))
    quiet = {"PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, **quiet}


def initialise(data):
    """Make devpi's data in the folder ``data``; root's password is ROOT_PASSWORD."""
    fresh = virtualenv() / "data"
    if not (fresh / ".nodeinfo").exists():
        command = [virtualenv() / "bin" / "devpi-init", "--serverdir", fresh, "--root-passwd", ROOT_PASSWORD]
        subprocess.run(command, env=environment(), check=True, capture_output=True)
    shutil.copytree(fresh, data)


class Server:
    """A devpi-server that runs: where it is, and requests to it."""

    def __init__(self, data, port):
        self.data, self.url = data, f"http://127.0.0.1:{port}"
        # Stands for root's password, also after that has changed, and is checked in no time.
        self.token = None

    def call(self, method, path, body=None, user=None):
        """Return (status, answer) of a request; ``user`` is (name, password), ``body`` anything that JSON can say."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Accept", "application/json")
        if user:
            request.add_header("X-Devpi-Auth", base64.b64encode(":".join(user).encode()).decode())
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as exc:
            status, text = exc.code, exc.read().decode()
        return status, json.loads(text) if text.startswith("{") else text

    def as_root(self, method, path, body=None):
        """Do what only root may; a refusal fails the test."""
        if not self.token:
            login = self.call("POST", "/+login", {"user": "root", "password": ROOT_PASSWORD})[1]
            self.token = login["result"]["password"]
        status, answer = self.call(method, path, body, ("root", self.token))
        assert status in (200, 201), answer
        return answer

    def upload(self, index, wheel, user):
        """Upload the file ``wheel`` as twine does; return the status."""
        return self.submit(index, wheel, user)[0]

    def submit(self, index, wheel, user, action="file_upload"):
        """Upload the file ``wheel``, or what ``action`` makes of it; return (status, reason), as twine tells it."""
        name, version = wheel.name.split("-")[:2]
        fields = {":action": action, "name": name, "version": version, "filetype": "bdist_wheel"}
        parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        parts.append(f'--x\r\nContent-Disposition: form-data; name="content"; filename="{wheel.name}"\r\n\r\n')
        data = "".join(parts).encode() + wheel.read_bytes() + b"\r\n--x--\r\n"
        request = urllib.request.Request(f"{self.url}/{index}/", data, method="POST")
        request.add_header("Content-Type", "multipart/form-data; boundary=x")
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(user).encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.reason
        except urllib.error.HTTPError as exc:
            return exc.code, exc.reason


@contextlib.contextmanager
def serving(data, options=GUARD, plugin=True):
    """Run devpi-server on the folder ``data``; yield a Server."""
    port = free_port()
    command = [virtualenv() / "bin" / "devpi-server", "--serverdir", data, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--threads", "4", "--restrict-modify", "root", *QUICK, *options]
    with open(f"{data}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment(plugin), stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(process, port, f"{data}.log")
        yield Server(data, port)
    finally:
        process.terminate()
        process.wait(20)


def free_port():
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process, port, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"devpi-server does not start: {pathlib.Path(log).read_text(encoding='utf-8')[-2000:]}")


def wheel(folder, name, version, text=""):
    """Write a wheel that pip installs into ``folder``; return its path."""
    module = name.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}.py", f"version = {version!r}  # {text}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


class PublicIndex:
    """
    Offers packages as the public index does, and remembers which were asked for, and how many at once at the most.

    It takes ``delay`` (float) seconds to answer.
    """

    delay = 0

    def __init__(self, folder):
        self.folder, self.asked, self.most = folder, [], 0
        self._open, self._counting = 0, threading.Lock()
        handler = functools.partial(self._handler(), directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"

    def offer(self, name, version):
        """Add a package; return its requirement with the hash."""
        (self.folder / "simple" / name).mkdir(parents=True, exist_ok=True)
        path = wheel(self.folder, name, version)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with open(self.folder / "simple" / name / "index.html", "a", encoding="utf-8") as page:
            page.write(f'<a href="/{path.name}#sha256={digest}">{path.name}</a>\n')
        return f"{name}=={version} --hash=sha256:{digest}\n"

    def count(self, change):
        """One request more (1) or less (-1) is being answered."""
        with self._counting:
            self._open += change
            self.most = max(self.most, self._open)

    def _handler(index):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                index.count(1)
                time.sleep(index.delay)
                index.count(-1)
                super().do_GET()

            def log_message(self, *arguments):
                index.asked.append(self.path)

        return Handler


@contextlib.contextmanager
def public_index(folder):
    """Run a PublicIndex on the empty ``folder``."""
    folder.mkdir()
    index = PublicIndex(folder)
    thread = threading.Thread(target=index.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.server.shutdown()
        index.server.server_close()
