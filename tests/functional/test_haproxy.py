"""The load balancer's configuration, run by the real haproxy: what it refuses, hides, adds, and where it leads."""

import copy
import json
import pathlib

import pytest

from lab.compile import compile_host
from lab.paths import ROOT
from tests.functional.haproxy import CONFIG, NAME, check, load_balancer, program
from tests.functional.private import private_world

LB = "web-lb02"


@pytest.fixture(scope="module")
def side(site):
    """What the load balancer's server compiles to."""
    program()  # from the network, which a private world has not
    return compile_host(ROOT, site, LB)


def slot(text):
    return json.loads(text)["slot"]


@private_world
def test_what_comes_by_http_is_led_to_https(side):
    with load_balancer(side) as balancer:
        for host in (NAME, NAME.upper(), f"{NAME}:80"):
            response, _ = balancer.ask("/a/b?x=1&y=%20", "http", host)
            assert (response.status, response.headers["Location"]) == (301, f"https://{NAME}/a/b?x=1&y=%20")
        response, _ = balancer.ask("/.well-known/acme-challenge/token", "http")
        assert response.status == 503, "certbot does not wait"


@private_world
def test_other_names_and_internal_paths_are_not_served(side):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "license-blue")
        for service in ("http", "https"):
            for host in ("evil.test", f"{NAME}.evil.test", "", balancer.listen[service][0]):
                assert balancer.ask("/.well-known/acme-challenge/x", service, host)[0].status == 421, (service, host)
        hidden = ["/readyz", "/healthz", "/stats", "/license/readyz", f"https://{NAME}/readyz"]
        for path in [*hidden, "/readyz/", "/readyz?x", "/%72eadyz", "//readyz", "/readyz;a", "/stats/x"]:
            assert balancer.ask(path)[0].status == 404, path
        assert [backend.asked for backend in balancer.slots.values()] == [[]] * len(balancer.slots)
        for path in ("/", "/readyzz", "/version", "/license", "/a/readyz"):
            assert balancer.ask(path)[0].status == 200, path


@private_world
def test_a_client_cannot_say_who_it_is(side):
    claims = ["X-Forwarded-For", "X_Forwarded_For", "x-forwarded-host", "X-FORWARDED-PROTO", "Forwarded", "X-Real-IP"]
    claims += ["X-Request-Id", "X_Request_Id", "Proxy"]
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        response, text = balancer.ask("/", headers=[(name, "mine") for name in claims])
        seen = json.loads(text)["headers"]
        assert "mine" not in seen.values()
        assert seen["x-forwarded-for"] == balancer.listen["https"][0]
        assert (seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["host"]) == ("https", NAME, NAME)
        assert seen["x-request-id"] == response.headers["X-Request-Id"]
        assert response.headers["Strict-Transport-Security"].startswith("max-age=")
        assert "Server" not in response.headers


@private_world
def test_it_starts_with_what_certbot_has_where_its_certificate_is_broken(side, single):
    (state,) = [chunk for chunk in side["low"] if chunk["__id__"] == "acme-self-signed"]
    with load_balancer(side):
        file = pathlib.Path(state["name"])
        certificate, key = file.read_text(encoding="ascii").split("-----BEGIN PRIVATE KEY", 1)
        lineage = pathlib.Path("/etc/letsencrypt/live", file.stem)
        lineage.mkdir(parents=True)
        (lineage / "fullchain.pem").write_text(certificate, encoding="ascii")
        (lineage / "privkey.pem").write_text(f"-----BEGIN PRIVATE KEY{key}", encoding="ascii")
        file.write_text("by hand", encoding="ascii")
        assert "unable to load certificate" in check(CONFIG.read_text(encoding="utf-8"))
        result = single("insync_certificate.self_signed", name=str(file), domains=state["domains"])
        assert result["changes"]["certificate"]["new"] == "of certbot"
        assert check(CONFIG.read_text(encoding="utf-8")) == ""


@private_world
def test_the_map_alone_says_which_slot_serves(side):
    with load_balancer(side) as balancer:
        balancer.open("web-blue", "web-green", "license-blue", "license-green")
        ports = {name: endpoint["port"] for name, endpoint in balancer.context["endpoints"].items()}
        for active in ("blue", "green"):
            for pool in ("web", "license"):
                balancer.say(f"set map /etc/haproxy/active.map {pool} {active}")
            for path, pool in {"/": "web", "/license": "license", "/license/a": "license", "/licenses": "web"}.items():
                answers = {slot(balancer.ask(path)[1]) for _ in range(6)}
                servers = {backend.name for key, backend in balancer.slots.items() if key[0] == f"{pool}-{active}"}
                assert answers == servers, (path, active)
                assert {name.split(":")[1] for name in answers} == {str(ports[f"{pool}-{active}"])}


@private_world
def test_a_server_that_is_not_ready_is_out_within_seconds_and_comes_back(side):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        (one, ill), (two, well) = balancer.slots.items()
        ill.ready = False
        assert balancer.wait(*one, "DOWN") < 3
        assert {slot(balancer.ask("/")[1]) for _ in range(4)} == {well.name}
        well.ready = False
        balancer.wait(*two, "DOWN")
        response, text = balancer.ask("/")
        assert (response.status, response.headers["Retry-After"]) == (503, "10")
        assert "Insync will be back in a moment" in text
        ill.ready = True
        assert balancer.wait(*one, "UP") < 3
        assert slot(balancer.ask("/")[1]) == ill.name


@private_world
def test_only_what_may_be_repeated_is_sent_to_another_server(side):
    with load_balancer(side) as balancer:
        balancer.open("web-blue")
        bad = next(iter(balancer.slots.values()))
        bad.drops = True
        assert [balancer.ask("/")[0].status for _ in range(4)] == [200] * 4
        assert ("GET", "/") in bad.asked, "it was tried"
        posts = [balancer.ask(f"/{number}", method="POST", body=b"once")[0].status for number in range(4)]
        assert sorted(set(posts)) == [200, 502]
        executed = [path for backend in balancer.slots.values() for method, path in backend.asked if method == "POST"]
        assert sorted(executed) == ["/0", "/1", "/2", "/3"]


@private_world
def test_another_pool_is_data(side, modules):
    """A third pool needs nothing but pillar and inventory."""
    with load_balancer(side) as balancer:
        assert check(CONFIG.read_text()) == ""
        context = copy.deepcopy(balancer.context)
    context["haproxy"]["pools"]["shop"] = {"path": "/license/shop"}
    for name, port in (("shop-blue", 8201), ("shop-green", 8202)):
        health = {"http": {"path": "/up", "status": 204}}
        context["endpoints"][name] = {"port": port, "health": health, "hosts": {"web02": "web02.insync.internal"}}
    template = modules["cp.get_file_str"]("salt://haproxy/files/haproxy.cfg.j2")
    text = modules["file.apply_template_on_contents"](template, "jinja", context, None, "base")
    assert check(text) == ""
    rules = [line.split()[1] for line in text.splitlines() if "use_backend b_" in line and "map(" in line]
    assert [rule.split("%")[0] for rule in rules] == ["b_shop_", "b_license_", "b_web_"], "the longest path first"
    assert ["str(shop)" in rules[0], "str(license)" in rules[1]] == [True, True]
    assert "server web02 10.132.1.14:8202 check" in text
    assert "uri /up ver" in text and "expect status 204" in text
    assert "nonsense" in check(text + "\nnonsense\n")
