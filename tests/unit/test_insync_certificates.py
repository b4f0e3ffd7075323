"""What servers show for certificates, and what of it is told to be wrong."""

import contextlib
import datetime
import socket
import ssl
import threading
import time

import insync_ca
import insync_certificates
import pytest

NOW = datetime.datetime.now(datetime.UTC)
FLEET, PUBLIC = insync_ca.make_authority("fleet", 7300), insync_ca.make_authority("public", 3650)


def wanted(name="www.example.com", network="public", **more):
    place = {"server": "lb", "service": "https", "address": "127.0.0.1", "port": 443, "by": "lb"}
    return {**place, "network": network, "name": name, **more}


def shown(pair, authority=FLEET):
    return insync_certificates.describe(pair.certificate, authority.certificate)


def row(asked, found):
    (only,) = insync_certificates.rows([asked], {asked["by"]: [{**asked, **found}]}, NOW)
    return only


def issued(days, *names, authority=PUBLIC, old=100):
    # A minute more, so that the day is still whole when it is looked at.
    since = NOW - datetime.timedelta(days=old) + datetime.timedelta(minutes=1)
    return insync_ca.issue(authority, names or ["www.example.com"], [], old + days, since)


@pytest.mark.parametrize(
    "days, problem", [(60, ""), (21, ""), (20, "expires soon"), (0, "expires soon"), (-1, "expired")]
)
def test_a_public_certificate_is_told_when_its_timer_should_have_renewed_it(days, problem):
    found = row(wanted(), shown(issued(days)))
    until = (NOW + datetime.timedelta(days=days)).date().isoformat()
    assert found == {
        "server": "lb",
        "name": "www.example.com",
        "service": "https",
        "issuer": "public",
        "expires": until,
        "days": days,
        "problem": problem,
    }


@pytest.mark.parametrize(
    "days, old, problem", [(45, 0, ""), (11, 34, ""), (10, 35, "expires soon"), (6, 0, ""), (1, 5, "expires soon")]
)
def test_one_that_never_has_so_many_days_is_told_when_less_of_its_time_is_left(days, old, problem):
    assert row(wanted(), shown(issued(days, old=old)))["problem"] == problem


def test_a_server_that_tells_no_beginning_yet_is_taken_for_one_of_90_days():
    found = shown(issued(20))
    del found["begins"]
    assert row(wanted(), found)["problem"] == "expires soon"


@pytest.mark.parametrize("days, problem", [(60, ""), (30, ""), (29, "expires soon"), (-1, "expired")])
def test_a_certificate_of_the_fleet_is_told_when_it_should_have_been_made_anew(days, problem):
    asked = wanted("db.insync.internal", "private")
    assert row(asked, shown(issued(days, asked["name"], authority=FLEET)))["problem"] == problem


def test_a_private_service_has_a_certificate_of_the_fleet():
    asked = wanted("db.insync.internal", "private")
    assert row(asked, shown(issued(60, asked["name"])))["problem"] == "not from the fleet's own CA"


def test_a_public_name_has_none_of_the_fleet():
    found = row(wanted(), shown(issued(60, authority=FLEET)))
    assert (found["problem"], found["issuer"]) == ("from the fleet's own CA", "fleet")


def test_who_has_signed_itself_is_told():
    assert row(wanted(), shown(insync_ca.make_authority("www.example.com", 60)))["problem"] == "self-signed"


@pytest.mark.parametrize(
    "name, names, problem",
    [
        ("www.example.com", ["example.com", "www.example.com"], ""),
        ("www.example.com", ["*.example.com"], ""),
        ("*.example.com", ["*.example.com", "example.com"], ""),
        ("a.b.example.com", ["*.example.com"], "has not this name"),
        ("*.example.com", ["www.example.com"], "has not this name"),
        ("example.com", ["*.example.com"], "has not this name"),
    ],
)
def test_the_name_has_to_be_in_it(name, names, problem):
    assert row(wanted(name), shown(issued(60, *names)))["problem"] == problem


@pytest.mark.parametrize(
    "answers, problem",
    [
        ({}, "not known: lb: does not answer"),
        (
            {"lb": "'insync.certificates' is not\n  available."},
            "not known: lb: 'insync.certificates' is not available.",
        ),
        ({"lb": [wanted("other.example.com", error="")]}, "not known: lb has not looked"),
        ({"lb": [wanted(error="missing: Connection refused")]}, "missing: Connection refused"),
    ],
)
def test_what_is_not_known_or_not_there_is_a_problem_too(answers, problem):
    (found,) = insync_certificates.rows([wanted()], answers, NOW)
    assert (found["problem"], found["days"], found["issuer"]) == (problem, "", "")


def test_the_authority_is_looked_at_itself():
    assert insync_certificates.authority_row(FLEET.certificate, NOW)["problem"] == ""
    late = NOW + datetime.timedelta(days=7300 - 20)
    assert insync_certificates.authority_row(FLEET.certificate, late)["problem"] == "expires soon"


@contextlib.contextmanager
def server(tmp_path, pair, greet=lambda plain: None, times=1):
    """Serve TLS with ``pair`` on loopback, after ``greet``; yields (port, the names that were asked for)."""
    pem, asked = tmp_path / "server.pem", []
    pem.write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.sni_callback = lambda secured, name, _: asked.append(name)

    def serve(listening):
        for _ in range(times):
            plain, _ = listening.accept()
            plain.settimeout(5)
            with contextlib.suppress(OSError), plain:
                greet(plain)
                with context.wrap_socket(plain, server_side=True) as secured:
                    secured.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        yield listening.getsockname()[1], asked
        thread.join()


def relay(wait=0, packet=100):
    """One that begins after ``wait`` seconds, and sends ``packet`` bytes at a time."""

    def say(plain, text):
        for start in range(0, len(text), packet):
            plain.sendall(text[start : start + packet])
            time.sleep(0.02)

    def greet(plain):
        time.sleep(wait)
        say(plain, b"220 relay\r\n")
        for answer in (b"250-relay\r\n250 STARTTLS\r\n", b"220 go\r\n"):
            if plain.recv(100)[:4] not in (b"EHLO", b"STAR"):
                raise ConnectionError("it has begun with TLS")
            say(plain, answer)

    return greet


def mariadb(plain):
    plain.sendall(b"\x4a\x00\x00\x00\x0a11.4.0-MariaDB")
    request = plain.recv(36)
    assert (len(request), request[:4]) == (36, b"\x20\x00\x00\x01"), "32 bytes, the first packet after the greeting"


@pytest.mark.parametrize(
    "greet, times",
    [(lambda plain: None, 1), (relay(), 1), (relay(wait=1), 2), (relay(packet=6), 1), (mariadb, 1)],
    ids=["tls", "relay", "slow relay", "relay in packets", "mariadb"],
)
def test_services_are_asked_as_their_clients_do(tmp_path, greet, times):
    with server(tmp_path, issued(10, "db.example.com", authority=FLEET), greet, times) as (port, asked):
        (found,) = insync_certificates.shown([wanted("db.example.com", port=port)], FLEET.certificate)
    told = {key: found[key] for key in ("issuer", "names", "self_signed", "fleet")}
    assert told == {"issuer": "fleet", "names": ["db.example.com"], "self_signed": False, "fleet": True}
    assert row(wanted("db.example.com", "private"), found)["problem"] == "expires soon"
    assert asked == ["db.example.com"]


def test_a_name_below_a_wildcard_stands_for_all(tmp_path):
    with server(tmp_path, issued(60, "*.example.com")) as (port, asked):
        (found,) = insync_certificates.shown([wanted("*.example.com", port=port)], FLEET.certificate)
    assert (asked, found["fleet"]) == (["www.example.com"], False)


@pytest.mark.parametrize("said", [b"220 relay", b"220-" + b"x" * 70000], ids=["ends early", "never ends"])
def test_half_a_reply_of_a_relay_is_none(tmp_path, said):
    def greet(plain):
        plain.sendall(said)
        raise ConnectionError("it goes")

    with server(tmp_path, issued(60), greet) as (port, _):
        (found,) = insync_certificates.shown([wanted(port=port)], FLEET.certificate)
    assert found["error"] == "missing: no reply of SMTP"


def test_who_does_not_answer_or_refuses_the_name_shows_none(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    (found,) = insync_certificates.shown([wanted(port=port)], FLEET.certificate)
    assert found["error"] == "missing: Connection refused"

    def refuse(plain):
        plain.recv(1000)
        # An alert: there is no such name.
        plain.sendall(b"\x15\x03\x03\x00\x02\x02\x70")

    with server(tmp_path, issued(60), refuse) as (port, _):
        (found,) = insync_certificates.shown([wanted(port=port)], FLEET.certificate)
    assert found["error"] == "missing: TLSV1_UNRECOGNIZED_NAME"
