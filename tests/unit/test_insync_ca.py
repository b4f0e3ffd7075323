"""The certificate authority: what it makes is what TLS clients accept, and what is no certificate is refused."""

import datetime
import socket
import ssl
import subprocess
import threading

import insync_ca
import pytest

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority():
    return insync_ca.make_authority("Test CA", 3650)


def connect(tmp_path, pair, trusted, name):
    """Make a real TLS connection to a server with ``pair``; return what the client says of it, "" if all is well."""
    (tmp_path / "server.pem").write_text(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    ours, theirs = socket.socketpair()

    def serve():
        try:
            context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context(cadata=trusted)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        client.wrap_socket(ours, server_hostname=name).close()
        return ""
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize(
    "name, said",
    [
        ("db.example.internal", ""),
        ("db", ""),
        ("10.0.0.7", ""),
        ("web02", "Hostname mismatch"),
        ("10.0.0.8", "IP address mismatch"),
    ],
)
def test_clients_accept_the_names_and_addresses_and_no_others(tmp_path, authority, name, said):
    pair = insync_ca.issue(authority, ["db.example.internal", "db"], ["10.0.0.7"], 30)
    assert connect(tmp_path, pair, authority.certificate, name).startswith(said)
    assert bool(connect(tmp_path, pair, authority.certificate, name)) == bool(said)


def test_clients_of_another_authority_refuse(tmp_path, authority):
    other = insync_ca.make_authority("Test CA", 3650)
    pair = insync_ca.issue(authority, ["db"], [], 30)
    assert "local issuer" in connect(tmp_path, pair, other.certificate, "db")
    assert insync_ca.issued_by(pair.certificate, authority.certificate)
    assert not insync_ca.issued_by(pair.certificate, other.certificate)


def test_a_server_certificate_signs_nothing(tmp_path, authority):
    server = insync_ca.issue(authority, ["db"], [], 30)
    forged = insync_ca.issue(server, ["web02"], [], 30)
    assert connect(tmp_path, forged, authority.certificate + server.certificate, "web02") != ""


def test_what_is_read_is_what_was_asked_for():
    authority = insync_ca.make_authority("Test CA", 365, now=NOW)
    facts = insync_ca.read(insync_ca.issue(authority, ["db", "a"], ["10.0.0.9", "10.0.0.7"], 90, now=NOW).certificate)
    assert facts.names == ("a", "db")
    assert facts.addresses == ("10.0.0.7", "10.0.0.9")
    assert facts.not_after == NOW + datetime.timedelta(days=90)
    assert insync_ca.read(authority.certificate).names == ()


def test_no_certificate_outlives_the_authority():
    authority = insync_ca.make_authority("Test CA", 10, now=NOW)
    pair = insync_ca.issue(authority, ["db"], [], 90, now=NOW)
    assert insync_ca.read(pair.certificate).not_after == NOW + datetime.timedelta(days=10)
    with pytest.raises(insync_ca.CaError, match="the authority has expired on 2030-01-11"):
        insync_ca.issue(authority, ["db"], [], 90, now=NOW + datetime.timedelta(days=11))


def test_what_cannot_be_issued_is_refused(authority):
    with pytest.raises(insync_ca.CaError, match="needs a name"):
        insync_ca.issue(authority, [], [], 30)
    with pytest.raises(insync_ca.CaError, match="10.0.0.300"):
        insync_ca.issue(authority, ["db"], ["10.0.0.300"], 30)
    with pytest.raises(insync_ca.CaError, match="no private key"):
        insync_ca.issue(insync_ca.Pair(authority.certificate, "a key"), ["db"], [], 30)


@pytest.mark.parametrize("text", ["", "a text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(text):
    with pytest.raises(insync_ca.CaError, match="no certificate in PEM format"):
        insync_ca.read(text)


def test_the_key_is_not_shown(authority):
    assert "PRIVATE" not in repr(authority)


def test_openssl_names_the_same_fingerprint(authority):
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    said = subprocess.run(command, input=authority.certificate, capture_output=True, text=True, check=True).stdout
    assert said.split("=")[1].strip().replace(":", "").lower() == insync_ca.fingerprint(authority.certificate)
