"""A real ACME authority on loopback, pebble, which asks certbot's standalone server as a public one would."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time

import insync_ca

DIRECTORY = "https://localhost:14000/dir"
# Where it expects the answer to its question; a public authority would ask on port 80.
PORT = 8402
DNS = "127.0.0.1:8053"
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
