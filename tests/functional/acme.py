"""
A real ACME authority on loopback, pebble, which asks certbot's standalone server as a public one would, and a DNS; and
what stands for DigitalOcean's API, which changes that DNS.
"""

import contextlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import urllib.request

import insync_ca

DIRECTORY = "https://localhost:14000/dir"
# Where it expects the answer to its question; a public authority would ask on port 80.
PORT = 8402
DNS = "127.0.0.1:8053"
# Where the DNS is told its records.
RECORDS = "http://127.0.0.1:8055"
TRUSTED = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


@contextlib.contextmanager
def authority(folder, days=90):
    """
    Run pebble while the block runs, trusted by this private world; its certificates are good for ``days`` (int).

    folder (pathlib.Path): where its configuration is put.
    """
    web_ca = insync_ca.make_authority("web CA", 30)
    own = insync_ca.issue(web_ca, ["localhost"], [], 30)
    TRUSTED.write_text(web_ca.certificate, encoding="ascii")
    (folder / "certificate.pem").write_text(own.certificate, encoding="ascii")
    (folder / "key.pem").write_text(own.key, encoding="ascii")
    config = {
        "listenAddress": "127.0.0.1:14000",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": str(folder / "certificate.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": PORT,
        "certificateValidityPeriod": days * 24 * 3600,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}), encoding="utf-8")
    unused = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", "127.0.0.1:8055"]
    resolver = ["pebble-challtestsrv", "-dns01", DNS, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", *unused]
    pebble = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", DNS]
    with _running(resolver, 8055), _running(pebble, 14000):
        yield


@contextlib.contextmanager
def _running(command, port):
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < deadline, f"{command[0]} does not start"
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class DigitalOcean(http.server.BaseHTTPRequestHandler):
    """As much of DigitalOcean's API (v2) as changes the TXT records of the domain insync.io."""

    token, records = "", {}

    def do_GET(self):
        domains = self.path.split("?")[0].rstrip("/") == "/v2/domains"
        listed = {"domains": [{"name": "insync.io"}]} if domains else {"domain_records": list(self.records.values())}
        self._answer(200, {**listed, "meta": {"total": 1}, "links": {}})

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        record = {**told, "id": len(self.records) + 1, "domain": "insync.io"}
        if self._answer(201, {"domain_record": record}):
            self.records[record["id"]] = record
            self._tell("set-txt", record)

    def do_DELETE(self):
        if self._answer(204):
            self._tell("clear-txt", self.records.pop(int(self.path.rpartition("/")[2])))

    def _tell(self, what, record):
        told = {"host": f"{record['name']}.insync.io.", "value": record["data"]}
        urllib.request.urlopen(f"{RECORDS}/{what}", json.dumps(told).encode(), timeout=10).close()

    def _answer(self, status, told=None):
        good = self.headers["Authorization"] == f"Bearer {self.token}"
        body = json.dumps(told if good else {"id": "unauthorized", "message": "Unable to authenticate you"}).encode()
        self.send_response(status if good else 401)
        self.send_header("Content-Length", str(len(body) if status != 204 else 0))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if status != 204:
            self.wfile.write(body)
        return good

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def digitalocean(monkeypatch, token):
    """Stand for DigitalOcean, which knows ``token`` (str), while the block runs; yields its records, {} at the end."""
    monkeypatch.setattr(DigitalOcean, "token", token)
    monkeypatch.setattr(DigitalOcean, "records", {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), DigitalOcean) as server:
        monkeypatch.setenv("DIGITALOCEAN_END_POINT", f"http://127.0.0.1:{server.server_port}/v2/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield DigitalOcean.records
        server.shutdown()
