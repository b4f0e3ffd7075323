"""Certificates: self-signed, then issued by a real ACME authority through a real certbot, and installed by a hook."""

import pathlib
import stat

import pytest
from cryptography import x509

from tests.functional.acme import DIRECTORY, PORT, authority, digitalocean
from tests.functional.private import command, private_world

NAME, MORE = "www.insynchq.com", "insynchq.com"
LIVE = pathlib.Path("/etc/letsencrypt/live/public")
HOOK = pathlib.Path("/etc/letsencrypt/renewal-hooks/deploy/server")


@pytest.fixture
def pem(tmp_path):
    return tmp_path / "public.pem"


@pytest.fixture
def self_signed(single, pem):
    def _self_signed(test=False):
        return single("insync_certificate.self_signed", name=str(pem), domains=[NAME], test=test)

    return _self_signed


@pytest.fixture
def issued(single, pem):
    def _issued(test=False, domains=(NAME,), directory=DIRECTORY):
        arguments = {"domains": list(domains), "directory": directory, "port": PORT}
        return single("insync_certificate.issued", name=str(pem), test=test, **arguments)

    return _issued


def names(pem):
    """The DNS names of the certificate that is installed, and its serial number."""
    certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName)), certificate.serial_number


TAKES = '#!/bin/sh\ncat "$RENEWED_LINEAGE/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" > %s\n'


def hook(pem):
    """A server's deploy hook; certbot's logs stay in the private world."""
    command("mount", "-t", "tmpfs", "none", "/var/log")
    command("ip", "link", "set", "lo", "up")
    HOOK.parent.mkdir(parents=True, exist_ok=True)
    HOOK.write_text(TAKES % pem)
    HOOK.chmod(0o755)


def test_something_to_start_with(self_signed, pem, testmode):
    result = self_signed(testmode)
    assert result["result"] is (None if testmode else True)
    assert result["changes"] == {"certificate": {"old": None, "new": "self-signed"}}
    assert pem.exists() is not testmode
    assert bool(self_signed(testmode)["changes"]) is testmode


def test_what_is_there_stays(self_signed, pem, testmode):
    self_signed()
    assert stat.S_IMODE(pem.stat().st_mode) == 0o600
    before = pem.read_bytes()
    result = self_signed(testmode)
    assert (result["result"], result["changes"]) == (True, {})
    assert pem.read_bytes() == before
    pem.write_text("by hand")
    assert self_signed(testmode)["changes"] == {}
    assert pem.read_text() == "by hand"


def test_a_folder_that_is_not_there(single, tmp_path):
    name = str(tmp_path / "nowhere" / "public.pem")
    result = single("insync_certificate.self_signed", name=name, domains=[NAME])
    assert (result["result"], result["changes"]) == (False, {})
    assert f"cannot write {name}: No such file" in result["comment"]


@private_world
def test_a_ca_that_is_down_then_up_and_is_asked_once(self_signed, issued, pem, tmp_path):
    self_signed()
    hook(pem)
    changes = {"certificate": {"old": "there is none", "new": "issued"}, "installed": str(pem)}
    before = pem.read_bytes()

    result = issued()
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith(f"no new certificate for {NAME}: {DIRECTORY}: ")
    assert "Connection refused" in result["comment"] and "\n" not in result["comment"]

    with authority(tmp_path):
        foretold = issued(test=True)
        assert (foretold["result"], foretold["changes"]) == (None, changes)
        assert foretold["comment"] == "a certificate would be ordered: there is none"
        assert (pem.read_bytes(), LIVE.exists()) == (before, False)

        result = issued()
        assert (result["result"], result["changes"]) == (True, changes), result["comment"]

    first = names(pem)
    assert first[0] == [NAME]
    for test in (True, False):
        again = issued(test)
        assert (again["result"], again["changes"], names(pem)) == (True, {}, first)
    foretold = issued(test=True, directory="https://other.test/dir")
    assert foretold["comment"] == "a certificate would be ordered: the current one is from another CA"

    pem.unlink()
    assert issued(test=True)["comment"] == f"the certificate would be installed as {pem}"
    result = issued()
    assert (result["result"], result["changes"]) == (True, {"installed": str(pem)})
    assert names(pem) == first


@private_world
def test_a_certificate_that_no_server_takes_and_one_with_another_name(self_signed, issued, pem, tmp_path):
    self_signed()
    before = pem.read_bytes()
    hook(pem)
    HOOK.chmod(0o644)
    with authority(tmp_path, days=6):
        result = issued()
        assert (result["result"], result["changes"]) == (False, {})
        assert result["comment"] == f"no new certificate for {NAME}: no deploy hook has installed {pem}"

        HOOK.write_text("#!/bin/sh\necho it does not fit >&2\nexit 1\n")
        HOOK.chmod(0o755)
        result = issued()
        assert (result["result"], result["changes"]) == (False, {})
        assert result["comment"] == f"no new certificate for {NAME}: {HOOK}: it does not fit"
        assert pem.read_bytes() == before

        ordered = x509.load_pem_x509_certificate((LIVE / "fullchain.pem").read_bytes())
        HOOK.write_text(TAKES % pem)
        result = issued()
        assert (result["result"], result["changes"]) == (True, {"installed": str(pem)})
        assert names(pem) == ([NAME], ordered.serial_number), "the CA was asked once"

        foretold = issued(test=True, domains=[NAME, MORE])
        assert foretold["comment"] == f"a certificate would be ordered: the current one lacks {MORE}"
        assert issued(domains=[NAME, MORE])["result"] is True
        assert names(pem)[0] == [MORE, NAME]

        # Its renewal would ask for the name that left, too.
        left = f"the current one still has {MORE}"
        assert issued(test=True)["comment"] == f"a certificate would be ordered: {left}"
        result = issued()
        changes = {"certificate": {"old": left, "new": "issued"}, "installed": str(pem)}
        assert (result["result"], result["changes"]) == (True, changes)
        assert (result["comment"], names(pem)[0]) == (f"{pem} was ordered: {left}", [NAME])
        assert issued()["changes"] == {}


@private_world
def test_a_ca_that_was_set_up_anew_and_knows_nobody(self_signed, issued, pem, tmp_path):
    self_signed()
    hook(pem)
    with authority(tmp_path):
        assert issued()["result"] is True
    with authority(tmp_path):
        result = issued(domains=[NAME, MORE])
        assert (result["result"], names(pem)[0]) == (True, [MORE, NAME]), result["comment"]
        # As certbot's timer does.
        command("certbot", "renew", "--force-renewal", "--quiet", "--no-random-sleep-on-renew")
        assert (again := issued(test=True, domains=[NAME, MORE]))["changes"] == {}, again["comment"]

        (LIVE.parents[1] / "renewal" / "public.conf").unlink()
        foretold = issued(test=True, domains=[NAME, MORE])["comment"]
        assert foretold.endswith("ordered: it is not noted how the current one would be renewed")


def test_one_way_to_prove_the_names_is_declared(single, pem):
    for ways in ({}, {"port": PORT, "dns": {"provider": "digitalocean"}}):
        result = single("insync_certificate.issued", name=str(pem), domains=[NAME], **ways)
        assert (result["result"], result["changes"]) == (False, {})
        assert result["comment"] == "give one of port and dns"


@private_world
def test_a_wildcard_is_proven_by_dns_and_renewed_so(single, pem, tmp_path, monkeypatch):
    hook(pem)
    wildcard, token, file = ["*.insync.io", "insync.io"], "lab '#token'", tmp_path / "dns.ini"
    file.touch(mode=0o600)

    def issued(provider="digitalocean", seconds=10, test=False):
        dns = {"provider": provider, "credentials": str(file), "propagation_seconds": seconds}
        named = {"name": str(pem), "domains": wildcard, "directory": DIRECTORY}
        return single("insync_certificate.issued", dns=dns, test=test, **named)

    with authority(tmp_path), digitalocean(monkeypatch, token) as records:
        file.write_text('dns_digitalocean_token = "another"\n')
        refused = issued()
        assert (refused["result"], refused["changes"]) == (False, {})
        assert refused["comment"].endswith("Unable to authenticate you (Did you provide a valid API token?)")

        file.write_text(f'dns_digitalocean_token = "{token}"\n')
        # As the plugin itself has it, which a renewal does not note.
        result = issued()
        assert result["result"] is True, result["comment"]
        first = names(pem)
        assert (first[0], records) == (wildcard, {})
        for test in (True, False):
            assert issued(test=test)["changes"] == {}
        # As certbot's timer does.
        command("certbot", "renew", "--force-renewal", "--quiet", "--no-random-sleep-on-renew")
        assert (names(pem)[0], names(pem) != first, records) == (wildcard, True, {})
        assert (again := issued(test=True))["changes"] == {}, again["comment"]
        longer = issued(seconds=11, test=True)["comment"]
        assert longer.endswith("would be renewed with dns-digitalocean-propagation-seconds 10, not 11")

        foretold = issued("rfc2136", test=True)["comment"]
        why = "the current one would be renewed with authenticator dns-digitalocean, not dns-rfc2136"
        assert foretold == f"a certificate would be ordered: {why}"
