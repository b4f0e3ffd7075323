"""The program of Drone: fetched from a URL, taken only with the pinned checksum, and else left alone."""

import hashlib
import http.server
import threading

import pytest
import yaml

from tests.functional.conftest import ROOT

NEW, OLD = b"#!/bin/sh\necho new\n", b"#!/bin/sh\necho old\n"


def pinned(content):
    return f"sha256={hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def server():
    """Serves NEW under every path; returns (URL, the paths asked for)."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(NEW)))
            self.end_headers()
            self.wfile.write(NEW)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/drone-server", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def program(single, tmp_path):
    """Apply the state `drone-program` as salt/drone/init.sls has it; returns (its path, how to apply it)."""
    block = (ROOT / "salt" / "drone" / "init.sls").read_text().split("drone-program:\n")[1].split("\n\n")[0]
    rendered = (
        block.replace("{{ program }}", "x").replace("{{ drone.url | tojson }}", "x").replace("{{ drone.sha256 }}", "x")
    )
    (declared,) = yaml.safe_load(rendered).values()
    arguments = {key: value for one in declared for key, value in one.items()}
    path = tmp_path / "bin" / "drone-server"
    path.parent.mkdir()

    def _apply(url, checksum, test=False):
        own = {"name": str(path), "source": url, "source_hash": checksum, "user": "root", "group": "root"}
        return single("file.managed", test=test, **{**arguments, **own})

    return path, _apply


def test_it_is_fetched_once_and_nobody_is_asked_again(server, program):
    (url, asked), (path, apply) = server, program
    result = apply(url, pinned(NEW), test=True)
    assert (result["result"], path.exists()) == (None, False)
    assert apply(url, pinned(NEW))["result"] is True
    assert (path.read_bytes(), path.stat().st_mode & 0o777, len(asked)) == (NEW, 0o755, 1)
    result = apply("http://127.0.0.1:1/drone-server", pinned(NEW))
    assert (result["result"], result["changes"]) == (True, {}), "while it is there its source may be gone"


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    "reachable, checksum, message",
    [
        (True, "sha256=" + "0" * 64, "does not match actual checksum"),
        (True, "sha256=123", "format is invalid"),
        (False, pinned(NEW), "refused"),
    ],
)
def test_what_goes_wrong_leaves_the_old_one(server, program, reachable, checksum, message, test):
    (url, _), (path, apply) = server, program
    path.write_bytes(OLD)
    path.chmod(0o755)
    result = apply(url if reachable else "http://127.0.0.1:1/drone-server", checksum, test=test)
    assert path.read_bytes() == OLD
    if not test:
        assert (result["result"], result["changes"]) == (False, {})
        assert message in result["comment"]


def test_another_pin_replaces_it(server, program):
    (url, _), (path, apply) = server, program
    path.write_bytes(OLD)
    assert apply(url, pinned(NEW), test=True)["result"] is None
    assert path.read_bytes() == OLD
    assert apply(url, pinned(NEW))["result"] is True
    assert path.read_bytes() == NEW
