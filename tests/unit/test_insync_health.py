"""What is asked of a service is what the inventory says of it, and what it answers instead is told."""

import contextlib
import datetime
import http.server
import socketserver
import ssl
import threading

import insync_certificate
import insync_health
import pytest


class Page(http.server.BaseHTTPRequestHandler):
    """A site that knows one name and one page."""

    def do_GET(self):
        known = (self.headers["Host"], self.path) == ("wiki.test", "/Main")
        self.send_response(200 if known else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


class Greeting(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"SSH-")
        self.request.sendall(b"2.0-OpenSSH\r\n")


@contextlib.contextmanager
def running(handler, context=None):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def service(port, health, **more):
    where = {"address": "127.0.0.1", "port": port, "protocol": "tcp", "name": "wiki.test", "unit": "wiki.service"}
    return {**where, "health": health, **more}


@pytest.mark.parametrize(
    ("health", "why"),
    [
        ({"tcp": True}, ""),
        ({"http": {"path": "/Main", "status": 200}}, ""),
        ({"http": {"path": "/", "status": 200}}, "GET http://wiki.test/ answers 404, not 200"),
        ({"https": {"path": "/Main", "status": 200}}, "wiki.service does not answer at port"),
    ],
)
def test_a_site_is_asked_for_its_page_by_its_name(health, why):
    with running(Page) as port:
        told = insync_health.problem(service(port, health))
    assert told.startswith(why) and bool(told) == bool(why)


def test_a_site_with_a_certificate_of_its_own_is_asked_too(tmp_path):
    pem = tmp_path / "own.pem"
    pem.write_bytes(insync_certificate.self_signed(["wiki.test"], datetime.datetime.now(datetime.UTC)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with running(Page, context) as port:
        assert insync_health.problem(service(port, {"https": {"path": "/Main", "status": 200}})) == ""
        told = insync_health.problem(service(port, {"https": {"path": "/Main", "status": 301}}))
    assert told == "GET https://wiki.test/Main answers 200, not 301"


def test_a_banner_is_read_whole():
    with running(Greeting) as port:
        assert insync_health.problem(service(port, {"banner": "SSH-2.0-"})) == ""
        told = insync_health.problem(service(port, {"banner": "220 mail."}))
    assert told == "says 'SSH-2.0-O', not '220 mail.'"


def test_who_does_not_listen_is_told_with_its_unit():
    told = insync_health.problem(service(1, {"tcp": True}))
    assert told.startswith("wiki.service does not answer at port 1: ") and "refused" in told


def test_of_the_slots_of_a_pool_one_has_to_work():
    with running(Page) as port:
        slots = {"web-blue": service(port, {"tcp": True}, slot_of="web")}
        slots["web-green"] = service(1, {"tcp": True}, slot_of="web")
        assert insync_health.problems(slots, 0) == {}
    assert set(insync_health.problems(slots, 0)) == {"web-blue", "web-green"}


def test_what_becomes_well_in_time_is_well(monkeypatch):
    monkeypatch.setattr(insync_health, "PAUSE", 0.01)
    left = [{"web": "of its servers none is up"}] * 3
    assert insync_health.problems({}, 5, lambda: left.pop() if left else {}) == {}
    assert insync_health.problems({}, 0.05, lambda: {"web": "none is up"}) == {"web": "none is up"}
