"""The load balancer and its certificate, as the internet sees them: refusals, failures, reloads, renewals."""

import concurrent.futures
import json
import time

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed, planned
from tests.fleet.web import Stopped

LB = "web-lb02"
BACKENDS = ["web-lb02", "web02"]
PUBLIC = INVENTORY["hosts"][LB]["public"]
MAP = "/etc/haproxy/active.map"
CONFIG = "/etc/haproxy/haproxy.cfg"
RENEWAL = "/etc/letsencrypt/renewal/public.conf"


@pytest.fixture(autouse=True)
def both_backends(fleet):
    """Every test begins with both backends in use, and leaves them so."""
    yield fleet.eventually(lambda: answering(fleet) == set(BACKENDS), why="not both backends answer")
    fleet.eventually(lambda: answering(fleet) == set(BACKENDS), why="a backend did not come back")


def answering(fleet, count=8):
    """The hosts that answer ``count`` requests; an answer that is none of theirs stands there with its status."""
    ask = f"curl --silent --max-time 20 --write-out ' %{{http_code}}\n' {web.SITE}/version | tr -d '\n'; echo"
    script = f"for number in $(seq {count}); do {ask}; done"
    answers = [line.rpartition(" ") for line in fleet.ok("world", "sh", "-c", script).splitlines()]
    return {json.loads(body)["host"] if status == "200" else int(status) for body, _, status in answers}


def asked(fleet, url, *options, show="%{http_code}"):
    """What curl tells of a request from the internet."""
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--output", "/dev/null", "--write-out", show]
    return fleet.run("world", *command, *options, url).stdout


def serial(fleet):
    """The serial number of the certificate that is served."""
    ask = f"openssl s_client -connect {PUBLIC}:443 -servername www.insynchq.com </dev/null 2>/dev/null"
    return fleet.ok("world", "sh", "-c", f"{ask} | openssl x509 -noout -serial").strip()


def reload(fleet):
    fleet.ok(LB, "systemctl", "reload", "haproxy")


def socket(fleet, order):
    """What haproxy answers at its socket."""
    return fleet.ok(LB, "socat", "-t5", "-", "/run/haproxy/admin.sock", stdin=f"{order}\n")


# What it refuses, and what it hides.


def test_http_leads_to_https_with_path_and_query(fleet):
    seen = asked(fleet, "http://www.insynchq.com/a/b?x=1&y=%20", show="%{http_code} %{redirect_url}")
    assert seen == "301 https://www.insynchq.com/a/b?x=1&y=%20"


def test_the_certificate_is_good_and_the_protocols_are_of_today(fleet):
    seen = asked(fleet, f"{web.SITE}/version", show="%{http_code} %{http_version} %{ssl_verify_result}")
    assert seen == "200 2 0"
    assert asked(fleet, f"{web.SITE}/version", "--http1.1", show="%{http_code} %{http_version}") == "200 1.1"
    old = f"openssl s_client -connect {PUBLIC}:443 -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null 2>&1"
    assert "alert protocol version" in fleet.run("world", "sh", "-c", old).stdout
    assert "max-age=" in asked(fleet, web.SITE, show="%header{strict-transport-security}") or "max-age=" in headers(
        fleet
    )


def headers(fleet, path="/version"):
    return web.get(fleet, path, "--dump-header", "-", "--output", "/dev/null")[1].lower()


@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/stats", "/%72eadyz", "//readyz", "/license/readyz"])
def test_internal_paths_are_not_found(fleet, path):
    assert web.get(fleet, path, "--path-as-is")[0] == 404


@pytest.mark.parametrize("host", ["evil.test", PUBLIC, "www.insynchq.com.evil.test"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_other_names_are_not_served(fleet, scheme, host):
    assert asked(fleet, f"{scheme}://{PUBLIC}/", "--insecure", "--header", f"Host: {host}") == "421"


def test_who_still_sends_when_haproxy_answers_itself_gets_the_answer(fleet):
    """By HTTP/2 most such requests were once cut off instead."""
    assert {asked(fleet, f"{web.SITE}/readyz", "--data", "email=a@b.test") for _ in range(12)} == {"404"}
    others = {asked(fleet, web.SITE, "--data", "email=a@b.test", "--header", "Host: evil.test") for _ in range(12)}
    assert others == {"421"}


def test_the_log_tells_who_asked_for_what_but_not_the_query(fleet):
    assert web.get(fleet, "/version?key=not-for-the-log")[0] == 200
    line = fleet.ok(LB, "sh", "-c", "journalctl -u haproxy -o cat -n 50 | grep '/version' | tail -n 1")
    assert 'host="www.insynchq.com" to=b_web_' in line and "status=200" in line
    assert "not-for-the-log" not in fleet.ok(LB, "journalctl", "-u", "haproxy", "-n", "50")


# Backends that fail, and reloads.

CLIENTS = """
import collections, socket, ssl, sys, threading, time

address, seconds, clients, pause = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
context, ended, seen = ssl.create_default_context(), time.monotonic() + seconds, collections.Counter()

def connect():
    plain = socket.create_connection((address, 443), 10)
    return context.wrap_socket(plain, server_hostname="www.insynchq.com")

def ask(connection):
    connection.sendall(b"GET /version HTTP/1.1\\r\\nHost: www.insynchq.com\\r\\n\\r\\n")
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        data += connection.recv(65536) or sys.exit("closed without an answer")
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\\r\\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65536) or sys.exit("closed within an answer")
    return head.split()[1].decode(), fields.get(b"connection") == b"close"

def client():
    connection = connect()
    while time.monotonic() < ended:
        try:
            status, last = ask(connection)
        except (OSError, SystemExit) as exc:
            status, last = repr(exc), True
        seen[status] += 1
        if last:
            connection.close()
            connection = connect()
        time.sleep(pause)

threads = [threading.Thread(target=client) for _ in range(clients)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(dict(seen))
"""


def under_load(fleet, action, seconds=8, pause=0.2):
    """Run ``action`` while twenty clients send blindly on connections that they keep; return {status: count}."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        load = pool.submit(fleet.ok, "world", "python3", "-c", CLIENTS, PUBLIC, str(seconds), "20", str(pause))
        time.sleep(2)
        action()
        return dict(eval(load.result()))  # noqa: S307  our own script's answer


def test_reloads_lose_no_request(fleet):
    def action():
        for _ in range(3):
            reload(fleet)
            time.sleep(1)

    for pause in (0.05, 1.0):
        seen = under_load(fleet, action, pause=pause)
        assert set(seen) == {"200"} and seen["200"] > 50, seen


def test_a_backend_that_stops_costs_nothing_and_comes_back(fleet):
    unit = web.active_unit(fleet, "web02")

    def action():
        with Stopped(fleet, "web02", unit):
            fleet.eventually(lambda: answering(fleet, 4) == {LB}, seconds=15, why="web02 was not taken out")

    seen = under_load(fleet, action, seconds=10)
    assert set(seen) == {"200"}, seen


def test_a_frozen_backend_is_out_within_seconds(fleet):
    unit = web.active_unit(fleet, "web02")
    slot = unit.partition("@")[2]
    fleet.ok("web02", "systemctl", "kill", "--signal=STOP", unit)
    began = time.monotonic()
    try:
        fleet.eventually(lambda: up(fleet, f"b_web_{slot}") == {LB}, seconds=15, why="web02 was not taken out")
        assert time.monotonic() - began < 6
        reload(fleet)
        assert up(fleet, f"b_web_{slot}") == {LB}, "a reload forgets nothing"
        assert answering(fleet, 4) == {LB}
    finally:
        fleet.ok("web02", "systemctl", "kill", "--signal=CONT", unit)


def up(fleet, backend):
    """The servers of ``backend`` that haproxy sends requests to."""
    rows = [line.split() for line in socket(fleet, f"show servers state {backend}").splitlines()[2:] if line]
    return {row[3] for row in rows if row[5] == "2"}


def test_a_drained_server_stays_drained_over_a_reload(fleet):
    backend = f"b_web_{web.active_unit(fleet, 'web02').partition('@')[2]}"
    socket(fleet, f"set server {backend}/web02 state drain")
    try:
        reload(fleet)
        assert answering(fleet) == {LB}
    finally:
        socket(fleet, f"set server {backend}/web02 state ready")


def test_when_nothing_is_ready_a_page_says_so(fleet):
    with Stopped(fleet, "web02", web.active_unit(fleet, "web02")), Stopped(fleet, LB, web.active_unit(fleet, LB)):
        fleet.eventually(lambda: answering(fleet, 1) == {503}, seconds=15)
        status, body = web.get(fleet, "/version")
        assert (status, "Insync will be back in a moment" in body) == (503, True)
        assert "retry-after: 10" in headers(fleet)


# What a highstate does, and what it leaves alone.


def test_a_change_by_hand_goes_and_no_request_with_it(fleet):
    fleet.ok(LB, "sed", "-i", "s/timeout connect .*/timeout connect 9s/", CONFIG)
    reload(fleet)
    (states,) = fleet.highstate(LB, "test=True").values()
    assert (failed(states), planned(states)) == ([], ["haproxy-config", "haproxy-service"])
    pid = web.main_pid(fleet, LB, "haproxy")

    def action():
        (states,) = fleet.highstate(LB).values()
        assert (failed(states), changed(states)) == ([], ["haproxy-config", "haproxy-service"])

    seen = under_load(fleet, action, seconds=20)
    assert set(seen) == {"200"}, seen
    assert web.main_pid(fleet, LB, "haproxy") == pid, "reloaded, not restarted"
    (again,) = fleet.highstate(LB).values()
    assert (failed(again), changed(again)) == ([], [])


def test_a_highstate_leaves_the_map_alone(fleet):
    before = fleet.ok(LB, "cat", MAP)
    fleet.ok(LB, "sh", "-c", f"echo '# of a release' >> {MAP}")
    try:
        (states,) = fleet.highstate(LB).values()
        assert (failed(states), changed(states)) == ([], [])
        assert fleet.ok(LB, "cat", MAP) == f"{before}# of a release\n"
    finally:
        fleet.ok(LB, "sh", "-c", f"printf '%s' '{before}' > {MAP}")


# The certificate.


def test_no_second_order_while_the_certificate_is_good(fleet):
    first = serial(fleet)
    (states,) = fleet.highstate(LB).values()
    assert (failed(states), changed(states)) == ([], [])
    fleet.ok(LB, "systemctl", "start", "certbot.service")
    assert serial(fleet) == first
    assert fleet.ok(LB, "systemctl", "is-enabled", "certbot.timer").strip() == "enabled"
    assert fleet.ok(LB, "systemctl", "is-active", "certbot.timer").strip() == "active"


def test_a_ca_that_is_down_fails_one_state_and_a_later_run_recovers(fleet):
    first = serial(fleet)
    # A new account too: the lab's CA forgets its accounts when it starts.
    fleet.ok(LB, "sh", "-c", "cd /etc/letsencrypt && rm -rf accounts archive live renewal")
    rules = "table inet ca_down { chain out { type filter hook output priority 0; tcp dport 14000 reject; }; }"
    fleet.ok(LB, "nft", "-f", "-", stdin=rules)
    try:
        (states,) = fleet.highstate(LB).values()
        assert (failed(states), changed(states)) == (["acme-certificate"], [])
        (said,) = [state["comment"] for state in states if state["__id__"] == "acme-certificate"]
        assert said.startswith("no new certificate for www.insynchq.com: https://acme.cloud.test:14000/dir: ")
        assert "\n" not in said and "refused" in said
        assert (serial(fleet), web.get(fleet, "/version")[0]) == (first, 200)
    finally:
        fleet.ok(LB, "nft", "delete", "table", "inet", "ca_down")
    (states,) = fleet.highstate(LB, "test=True").values()
    assert (failed(states), planned(states)) == ([], ["acme-certificate"])
    (states,) = fleet.highstate(LB).values()
    assert (failed(states), changed(states)) == ([], ["acme-certificate"])
    assert serial(fleet) != first
    assert web.get(fleet, "/version")[0] == 200
    (again,) = fleet.highstate(LB).values()
    assert (failed(again), changed(again)) == ([], [])


def test_the_timer_renews_and_haproxy_serves_the_new_certificate(fleet):
    first = serial(fleet)
    seen = []

    def action():
        fleet.ok(LB, "sed", "-i", "s/^# renew_before_expiry = .*/renew_before_expiry = 3000 days/", RENEWAL)
        try:
            fleet.ok(LB, "systemctl", "start", "certbot.service")
        finally:
            fleet.ok(LB, "sed", "-i", "s/^renew_before_expiry = .*/# renew_before_expiry = 30 days/", RENEWAL)
        seen.append(serial(fleet))

    answers = under_load(fleet, action, seconds=20)
    assert set(answers) == {"200"}, answers
    assert seen[0] != first
    fleet.ok(LB, "systemctl", "start", "certbot.service")
    assert serial(fleet) == seen[0], "renewed once"
    (states,) = fleet.highstate(LB).values()
    assert (failed(states), changed(states)) == ([], [])


def test_a_certificate_that_haproxy_does_not_take_changes_nothing(fleet):
    first = serial(fleet)
    broken = (
        "mkdir -p /root/public && echo broken > /root/public/fullchain.pem && echo broken > /root/public/privkey.pem"
    )
    fleet.ok(LB, "sh", "-c", broken)
    done = fleet.run(LB, "env", "RENEWED_LINEAGE=/root/public", "/etc/letsencrypt/renewal-hooks/deploy/haproxy")
    assert done.returncode == 1
    assert "haproxy does not accept the certificate in /root/public" in done.stderr
    reload(fleet)
    assert serial(fleet) == first
    assert fleet.ok(LB, "ls", "/etc/insync/certificates").split() == ["public.pem"]
    fleet.ok(LB, "rm", "-r", "/root/public")
