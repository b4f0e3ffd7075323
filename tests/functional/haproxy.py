"""Debian's haproxy with the configuration of web-lb02, on the fleet's addresses, in a private world."""

import contextlib
import datetime
import http.client
import http.server
import json
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import insync_certificate

from lab.paths import CACHE
from tests.functional.private import command

CONFIG = pathlib.Path("/etc/haproxy/haproxy.cfg")
SOCKET = "/run/haproxy/admin.sock"
MASTER = "/run/haproxy-master.sock"
STATES = pathlib.Path("/run/insync-haproxy/servers")
NAME = "www.insynchq.com"


def program():
    """Return the path of haproxy, unpacked from Debian's package: installed, it would start a service here."""
    home = CACHE / "haproxy"
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            fetch = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "haproxy"]
            if subprocess.run(fetch, cwd=folder, capture_output=True, check=False).returncode:
                command("apt-get", "-qq", "update")
                command(*fetch, cwd=folder)
            (package,) = pathlib.Path(folder).glob("*.deb")
            command("dpkg-deb", "--extract", str(package), str(home))
        (home / ".complete").touch()
    return home / "usr" / "sbin" / "haproxy"


class Backend(http.server.ThreadingHTTPServer):
    """A release slot on a server: answers what it was asked, and counts."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, port):
        self.ready, self.drops, self.fails, self.asked, self.release = True, False, False, [], "r1"
        super().__init__((address, port), _Answer)
        self.name = f"{address}:{port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        """Take no new connections; those that there are live on."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Be quiet: HAProxy closes a check as soon as it has seen the status."""


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/readyz":
            return self._say(200 if self.server.ready else 503, {})
        if self.path == "/healthz":
            return self._say(200, {"release": self.server.release})
        self.server.asked.append((self.command, self.path))
        if self.server.drops:
            self.close_connection = True
            return None
        if self.server.fails:
            return self._say(500, {})
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path.removeprefix("/slow/")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self._say(200, {"slot": self.server.name, "headers": headers, "length": len(body)})

    do_POST = do_GET

    def _say(self, status, answer):
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Be quiet."""


class LoadBalancer:
    """A running haproxy, its slots by ``name-slot`` and server, and a client in the internet."""

    def __init__(self, side):
        chunks = {chunk["__id__"]: chunk for chunk in side["low"]}
        self.context = chunks["haproxy-config"]["context"]
        self.listen = {name: (rule["address"], rule["port"]) for name, rule in self.context["listen"].items()}
        self.slots = {}
        _install(chunks)
        command("ip", "link", "set", "lo", "up")
        for peer in [*self.context["peers"].values(), {"private": self.listen["https"][0]}]:
            command("ip", "address", "add", f"{peer['private']}/32", "dev", "lo")

    def open(self, *pools):
        """Let the servers of ``pools``, such as ``web-blue``, answer, and wait until haproxy has seen it."""
        for pool in pools:
            endpoint = self.context["endpoints"][pool]
            for server in endpoint["hosts"]:
                address = self.context["peers"][server]["private"]
                self.slots[pool, server] = Backend(address, endpoint["port"])
        for pool, server in self.slots:
            self.wait(pool, server, "UP")

    def wait(self, pool, server, status):
        """Wait until haproxy says that ``server`` of ``pool`` is ``status`` (str); return the seconds (float)."""
        began = time.monotonic()
        backend = f"b_{pool.replace('-', '_')}"
        while not self.status(backend, server).startswith(status):
            assert time.monotonic() < began + 10, f"{backend}/{server} is not {status}"
            time.sleep(0.05)
        return time.monotonic() - began

    def status(self, backend, server):
        """Return what haproxy's statistics say of ``server``."""
        lines = self.say("show stat").splitlines()
        header = lines[0].lstrip("# ").split(",")
        rows = (dict(zip(header, line.split(","), strict=False)) for line in lines[1:] if line)
        return next(row["status"] for row in rows if (row["pxname"], row["svname"]) == (backend, server))

    def reload(self):
        """Let a new process take over, as the unit does: with the state of the servers."""
        before = self.say("show info")
        STATES.write_text(self.say("show servers state"), encoding="utf-8")
        self.process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 10
        # The master is asked too: while it starts anew, another reload would be lost on it.
        while pid(self.say("show info")) == pid(before) or not _answers(MASTER):
            assert time.monotonic() < deadline, "haproxy does not reload"
            time.sleep(0.05)

    def restart(self):
        """Start haproxy anew: what it was told at its socket is gone."""
        self.stop()
        STATES.unlink(missing_ok=True)
        self.start()

    def start(self):
        """Run it as Debian's unit does: a master, and a process of it that works."""
        argv = [program(), "-Ws", "-q", "-S", MASTER, "-f", CONFIG]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not _answers():
            assert self.process.poll() is None and time.monotonic() < deadline, "haproxy does not start"
            time.sleep(0.05)

    def stop(self):
        """Stop it, and former processes of it."""
        self.process.terminate()
        self.process.wait()

    def say(self, order, path=SOCKET):
        """Return haproxy's answer (str) to ``order`` at its socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(f"{order}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def ask(self, path, service="https", host=NAME, method="GET", headers=(), body=None):
        """Return ``(response, text)`` to a request at the public address; headers is a list of pairs."""
        connection = http.client.HTTPConnection(*self.listen[service], timeout=10)
        if service == "https":
            plain = socket.create_connection(self.listen[service], 10)
            connection.sock = ssl._create_unverified_context().wrap_socket(plain, server_hostname=NAME)
        connection.putrequest(method, path, skip_host=True)
        for name, value in [("Host", host), *headers]:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text


@contextlib.contextmanager
def load_balancer(side):
    """Run haproxy as ``side``, what web-lb02 compiles to, has it; yield a LoadBalancer."""
    balancer = LoadBalancer(side)
    balancer.start()
    try:
        yield balancer
    finally:
        balancer.stop()


def pid(info):
    """Return the process that the answer ``info`` to ``show info`` is of."""
    return next(line for line in info.splitlines() if line.startswith("Pid:"))


def _answers(path=SOCKET):
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return True
    return False


def check(text):
    """Return what haproxy has to say against the configuration ``text``; "" if it accepts it."""
    argv = [program(), "-c", "-f", "/dev/stdin"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def _install(chunks):
    """Put down what the states would, and what Debian's package brings."""
    pem = insync_certificate.self_signed([NAME], datetime.datetime.now(datetime.UTC))
    command("mount", "-t", "tmpfs", "none", "/run")
    for file, text in (("/etc/passwd", "haproxy:x:64000:64000::/:/bin/false\n"), ("/etc/group", "haproxy:x:64000:\n")):
        with pathlib.Path(file).open("a", encoding="utf-8") as users:
            users.write(text)
    for folder in ("/etc/haproxy/errors", "/var/lib/haproxy", "/run/haproxy", "/run/insync-haproxy"):
        pathlib.Path(folder).mkdir(parents=True)
    certificate = pathlib.Path(chunks["acme-self-signed"]["name"])
    certificate.parent.mkdir(parents=True, exist_ok=True)
    certificate.write_bytes(pem)
    pathlib.Path(chunks["haproxy-active-map"]["name"]).write_text(
        "\n".join(chunks["haproxy-active-map"]["contents"]) + "\n", encoding="utf-8"
    )
    for name in ("haproxy-unavailable-page", "haproxy-config"):
        pathlib.Path(chunks[name]["name"]).write_text(chunks[name]["rendered"], encoding="utf-8")
