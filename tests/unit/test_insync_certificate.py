"""When the CA is asked for a certificate, and what certbot's output comes to."""

import datetime
import pathlib

import insync_certificate
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def issued(names, until, since=NOW - 90 * DAY):
    """A certificate as a CA issues it, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(since)
        .not_valid_after(until)
    )
    if names:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


GOOD = issued(["www.insynchq.com", "insynchq.com"], NOW + 31 * DAY)


@pytest.mark.parametrize(
    "pem, names, why",
    [
        (b"", ["www.insynchq.com"], "there is none"),
        (b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n", ["a"], "the current one cannot be read"),
        (GOOD[:-300], ["www.insynchq.com"], "the current one cannot be read"),
        (GOOD, ["www.insynchq.com", "insynchq.com"], ""),
        # The name that left leads elsewhere: a renewal would ask for it, and fail.
        (GOOD, ["www.insynchq.com"], "the current one still has insynchq.com"),
        (GOOD, ["www.insynchq.com", "a.b"], "the current one lacks a.b and still has insynchq.com"),
        (GOOD + b"\n" + GOOD, ["insynchq.com", "www.insynchq.com"], ""),
        (GOOD, ["www.insynchq.com", "new.insynchq.com", "a.insynchq.com"], "the current one lacks a.insynchq.com, new"),
        (issued([], NOW + 60 * DAY), ["www.insynchq.com"], "the current one lacks www.insynchq.com"),
        (issued(["www.insynchq.com"], NOW + 30 * DAY), ["www.insynchq.com"], ""),
        (issued(["a"], NOW + 30 * DAY - DAY / 24), ["a"], "the current one expires on 2026-12-24"),
        (issued(["a"], NOW - DAY), ["a"], "the current one expires on 2026-11-24"),
        # One that never has 30 days left.
        (issued(["a"], NOW + 6 * DAY, NOW), ["a"], ""),
        (issued(["a"], NOW + 2 * DAY, NOW - 4 * DAY), ["a"], ""),
        (issued(["a"], NOW + 2 * DAY - DAY / 24, NOW - 4 * DAY), ["a"], "the current one expires on 2026-11-26"),
        (insync_certificate.self_signed(["a"], NOW), ["a"], "the current one is self-signed"),
    ],
)
def test_why_the_ca_is_asked(pem, names, why):
    found = insync_certificate.why_order(pem, names, NOW)
    assert found.startswith(why) and bool(found) is bool(why)


def test_a_self_signed_certificate_has_the_names_and_its_own_key():
    pem = insync_certificate.self_signed(["www.insynchq.com", "insynchq.com"], NOW)
    certificate, key = x509.load_pem_x509_certificate(pem), serialization.load_pem_private_key(pem, None)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.insynchq.com", "insynchq.com"]
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc == NOW
    certificate.verify_directly_issued_by(certificate)
    assert pem != insync_certificate.self_signed(["www.insynchq.com", "insynchq.com"], NOW)


HTTP = {"authenticator": "standalone", "http-01-address": "127.0.0.1", "http-01-port": "842"}
DNS = {
    "authenticator": "dns-rfc2136",
    "dns-rfc2136-credentials": "/etc/dns.ini",
    "dns-rfc2136-propagation-seconds": "1",
}
NOTED = {
    "http": "http01_port = 842\nhttp01_address = 127.0.0.1\nserver = https://a.test/dir\nauthenticator = standalone\n",
    "dns": "server = https://a.test/dir\nauthenticator = dns-rfc2136\ndns_rfc2136_propagation_seconds = 1\n"
    "dns_rfc2136_credentials = /etc/dns.ini\n",
}


BEGIN = "cert = /a\nprivkey = /b\nchain = /c\nfullchain = /d\n\n[renewalparams]\n"


def test_the_two_ways_to_show_that_a_name_is_ours():
    assert insync_certificate.way(port=842) == HTTP
    dns = {"provider": "rfc2136", "credentials": "/etc/dns.ini", "propagation_seconds": 1}
    assert insync_certificate.way(dns=dns) == DNS


@pytest.mark.parametrize(
    "noted, server, options, why",
    [
        (NOTED["http"], "https://a.test/dir", HTTP, ""),
        (NOTED["dns"], "https://a.test/dir", DNS, ""),
        (NOTED["dns"], "https://b.test/dir", DNS, "the current one is from another CA"),
        ("", "https://a.test/dir", DNS, "it is not noted how the current one would be renewed"),
        (NOTED["http"], "https://a.test/dir", {**HTTP, "http-01-port": "8402"}, ""),
        (NOTED["http"] + "http01", "https://a.test/dir", HTTP, "it is not noted how the current one would be renewed"),
        (
            NOTED["http"],
            "https://a.test/dir",
            DNS,
            "the current one would be renewed with authenticator standalone, not dns-rfc2136",
        ),
    ],
)
def test_what_certbot_has_noted_for_the_renewal_is_what_is_declared(noted, server, options, why):
    assert insync_certificate.why_not_renewed(BEGIN + noted, server, options) == why


def test_a_note_without_its_files_or_its_section_is_none():
    whole = BEGIN + NOTED["http"]
    assert insync_certificate.noted(whole)["http01_port"] == "842"
    for lost in ("cert = /a\n", "[renewalparams]\n", "server = https://a.test/dir\n"):
        assert insync_certificate.noted(whole.replace(lost, "")) == {}
    assert insync_certificate.noted(whole + "\0\0\0") == {}


def test_another_option_is_noted_and_the_rest_stays():
    whole = f"# by certbot\n{BEGIN}{NOTED['http'].replace(' = ', '=')}account = a1\n[[webroot_map]]\na.b = /c\n"
    assert insync_certificate.differences(whole, HTTP) == {}
    wanted = {**HTTP, "http-01-port": "8402"}
    assert insync_certificate.differences(whole, wanted) == {"http-01-port": {"old": "842", "new": "8402"}}
    changed = insync_certificate.with_options(whole, wanted)
    assert insync_certificate.noted(changed) == {**insync_certificate.noted(whole), "http01_port": "8402"}
    assert changed.startswith("# by certbot\n") and changed.endswith("[[webroot_map]]\na.b = /c\n")


def test_a_note_that_was_lost_is_written_anew():
    live, archive = pathlib.Path("/live/public"), pathlib.Path("/archive/public")
    made = insync_certificate.renewal(live, archive, "a1", "https://a.test/dir", DNS)
    assert insync_certificate.why_not_renewed(made, "https://a.test/dir", DNS) == ""
    assert insync_certificate.differences(made, DNS) == {}
    found = insync_certificate.noted(made)
    assert (found["privkey"], found["account"]) == ("/live/public/privkey.pem", "a1")


def test_a_server_takes_a_certificate_with_its_own_key_only():
    one, other = (insync_certificate.self_signed(["a"], NOW) for _ in range(2))
    (certificate, key), (chain, wrong) = (pem.split(b"-----BEGIN PRIVATE", 1) for pem in (one, other))
    key, wrong = b"-----BEGIN PRIVATE" + key, b"-----BEGIN PRIVATE" + wrong
    for good in (one, key + certificate, certificate + chain + key):
        assert insync_certificate.complete(good)
    for bad in (b"", b"by hand", certificate, key, certificate + wrong, chain + certificate + key, one[:-40], one[9:]):
        assert not insync_certificate.complete(bad)


@pytest.mark.parametrize("provider, default", [("digitalocean", 10), ("rfc2136", 60)])
def test_a_renewal_notes_no_option_that_is_as_the_plugin_has_it(provider, default):
    noted = f"{BEGIN}server = a\nauthenticator = dns-{provider}\ndns_{provider}_credentials = /etc/dns.ini\n"
    for seconds in (default, default + 1):
        dns = {"provider": provider, "credentials": "/etc/dns.ini", "propagation_seconds": seconds}
        found = insync_certificate.differences(noted, insync_certificate.way(dns=dns))
        other = {f"dns-{provider}-propagation-seconds": {"old": str(default), "new": str(seconds)}}
        assert found == ({} if seconds == default else other)


CHALLENGE = """
Account registered.
Requesting a certificate for www.insynchq.com and ct1.insynchq.com

Certbot failed to authenticate some domains (authenticator: standalone). The CA reported these problems:
  Domain: ct1.insynchq.com
  Type:   connection
  Detail: Get "http://ct1.insynchq.com:80/.well-known/acme-challenge/t-k": dial tcp 198.51.100.11:80: i/o timeout

Hint: The Certificate Authority failed to download the challenge files from the temporary standalone webserver.

Saving debug log to /var/log/letsencrypt/letsencrypt.log
Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org. See the logfile for more details.
"""
EXCEPTION = """
Saving debug log to /var/log/letsencrypt/letsencrypt.log
An unexpected error occurred:
%s
Ask for help or search for solutions at https://community.letsencrypt.org. See the logfile for more details.
"""
POOL = "HTTPSConnectionPool(host='acme.test', port=14000): Max retries exceeded with url: /dir"


@pytest.mark.parametrize(
    "output, reason",
    [
        (
            CHALLENGE,
            'Get "http://ct1.insynchq.com:80/.well-known/acme-challenge/t-k": dial tcp 198.51.100.11:80: i/o timeout',
        ),
        (
            EXCEPTION % "ValueError: Requesting acme.test/dir: Connection refused",
            "Requesting acme.test/dir: Connection refused",
        ),
        (
            EXCEPTION
            % f"requests.exceptions.ConnectTimeout: {POOL} (Caused by ConnectTimeoutError(<urllib3.connection."
            "HTTPSConnection object at 0x7f9d0dda77d0>, 'Connection to acme.test timed out. (connect timeout=45)'))",
            "Connection to acme.test timed out. (connect timeout=45)",
        ),
        (
            EXCEPTION
            % f"requests.exceptions.ConnectionError: {POOL} (Caused by NewConnectionError('<urllib3.connection."
            "HTTPSConnection object at 0x7f91b1d09550>: Failed to establish a new connection: [Errno -3] Temporary "
            "failure in name resolution'))",
            "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
        ),
        (
            EXCEPTION
            % f"requests.exceptions.SSLError: {POOL} (Caused by SSLError(SSLError(524297, '[X509] PEM lib (_ssl.c)')))",
            "[X509] PEM lib (_ssl.c)",
        ),
        (EXCEPTION % "acme.errors.ClientError: <Response [404]>", "<Response [404]>"),
        ("Another instance of Certbot is already running.\n", "Another instance of Certbot is already running."),
        ("", "certbot gave no reason"),
    ],
)
def test_one_line_says_why_certbot_failed(output, reason):
    assert insync_certificate.reason(output) == reason


def test_what_the_ca_refused_is_read_from_the_log_where_certbot_fails_to_print_it():
    masked = EXCEPTION % "AttributeError: can't set attribute"
    log = "acme.messages.Error: urn:ietf:params:acme:error:%s :: What it means :: What it was\n  File ..."
    log = f"begin\n{log % 'badNonce'}\n{log % 'rateLimited'}\nAttributeError: can't set attribute\n"
    assert insync_certificate.refusal(log) == ("rateLimited", "What it means :: What it was")
    assert insync_certificate.reason(masked, log) == "What it means :: What it was"
    assert insync_certificate.refusal("begin") == ("", "")
