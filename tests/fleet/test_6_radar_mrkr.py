"""Radar and mrkr.io: their packages from the private index, behind nginx, and the release verbs that move them."""

import json

import pytest

from tests.fleet.conftest import INVENTORY
from tests.fleet.release import ran, refused

MRKR = "https://mrkr.io"
# Where it is: a test moves it.
SERVER = "mrkr-web-lb"
RADAR = "https://radar-2.insync.internal"
CA = ["--cacert", "/etc/insync/fleet-ca.crt"]


def get(fleet, client, *options):
    """Return (curl's exit code, status, body) of a request from ``client``."""
    command = ["curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}", *options]
    done = fleet.run(client, *command)
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, int(status or 0), body


def ok(fleet, client, *options):
    """The same, for what has to be answered with 200; return the body."""
    code, status, body = get(fleet, client, *options)
    assert (code, status) == (0, 200), body
    return body


def test_everybody_sees_mrkr(fleet):
    assert "web site mrkr.io" in ok(fleet, "world", f"{MRKR}/")
    assert "sans-serif" in ok(fleet, "world", f"{MRKR}/style.css")
    assert get(fleet, "world", f"{MRKR}/nosuch")[1] == 404
    assert json.loads(ok(fleet, "world", f"{MRKR}/healthz"))["status"] == "ok"
    version = json.loads(ok(fleet, "world", f"{MRKR}/version"))
    assert (version["name"], version["host"], version["stand_in"]) == ("insync-mrkr", SERVER, True)
    code, status, _ = get(fleet, "world", "--output", "/dev/null", "http://mrkr.io/style.css?x=1")
    assert (code, status) == (0, 301)
    assert ok(fleet, "world", "--location", "http://mrkr.io/style.css?x=1") == ok(fleet, "world", f"{MRKR}/style.css")


def test_the_certificate_of_mrkr_is_for_this_name(fleet):
    ask = "openssl s_client -connect mrkr.io:443 -servername mrkr.io </dev/null 2>/dev/null"
    names = fleet.ok("world", "sh", "-c", f"{ask} | openssl x509 -noout -ext subjectAltName")
    # Where it moves there may be other sites.
    assert "DNS:mrkr.io" in names.split("\n")[1].strip().split(", ")


@pytest.mark.parametrize("name", ["other.example", "www.mrkr.io"])
def test_another_name_is_refused(fleet, name):
    address = INVENTORY["hosts"][SERVER]["public"]
    resolve = ["--resolve", f"{name}:443:{address}", "--resolve", f"{name}:80:{address}"]
    assert get(fleet, "world", "--insecure", *resolve, f"https://{name}/")[0] == 35
    assert get(fleet, "world", *resolve, f"http://{name}/")[0] == 52


def test_operators_see_radar_and_nobody_else_does(fleet):
    assert "<h1>Radar</h1>" in ok(fleet, "ct1", *CA, f"{RADAR}/")
    assert json.loads(ok(fleet, "ct1", *CA, f"{RADAR}/healthz"))["status"] == "ok"
    assert json.loads(ok(fleet, "ct1", *CA, f"{RADAR}/version"))["name"] == "insync-radar"
    assert json.loads(ok(fleet, "ct1", *CA, f"{RADAR}/readyz"))["checks"] == {}
    assert get(fleet, "ct1", f"{RADAR}/")[0] == 60, "its certificate is the fleet's, of no public authority"
    public = INVENTORY["hosts"]["radar-2"]["public"]
    for client, address in (("web02", INVENTORY["hosts"]["radar-2"]["private"]), ("world", public)):
        assert get(fleet, client, "--insecure", "--connect-timeout", "1", f"https://{address}/")[0] in (7, 28)


def test_radar_moves_and_comes_back(fleet):
    def version():
        return json.loads(ok(fleet, "ct1", *CA, f"{RADAR}/version"))

    before = version()
    told = ran(fleet, "insync.update_in", "radar", "insync-radar==1.1.0", "insync-core==1.1.0")
    assert told["changes"]["release"]["old"] == before["release"]
    try:
        assert version()["version"] == "1.1.0" and "Shared folders" in ok(fleet, "ct1", *CA, f"{RADAR}/")
        said = refused(fleet, "insync.update_in", "radar", "insync-radar==9.9.9")
        assert "no version of insync-radar==9.9.9" in said and version()["version"] == "1.1.0"
    finally:
        ran(fleet, "insync.rollback", "radar")
    assert version()["release"] == before["release"]
