"""Certificates: self-signed, then issued by a real ACME authority through a real certbot, and installed by a hook."""

import datetime
import pathlib
import shutil
import stat

import insync_certificate
import pytest
from cryptography import x509

from tests.functional.acme import DIRECTORY, PORT, authority, digitalocean
from tests.functional.private import command, private_world

NAME, MORE = "www.insynchq.com", "insynchq.com"
CERTBOT = pathlib.Path("/etc/letsencrypt")
LIVE, NOTE = CERTBOT / "live/public", CERTBOT / "renewal/public.conf"
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
    def _issued(test=False, domains=(NAME,), directory=DIRECTORY, port=PORT):
        arguments = {"domains": list(domains), "directory": directory, "port": port}
        return single("insync_certificate.issued", name=str(pem), test=test, **arguments)

    return _issued


def first_order(self_signed, issued, pem, tmp_path):
    """Have a certificate issued for the first time, by an authority that is gone afterwards."""
    self_signed()
    hook(pem)
    with authority(tmp_path):
        assert issued()["result"] is True


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


def test_what_no_server_can_be_started_with_is_made_anew(self_signed, pem, testmode):
    certificate, other = (insync_certificate.self_signed([NAME], datetime.datetime.now(datetime.UTC)) for _ in "12")
    key = certificate.index(b"-----BEGIN PRIVATE KEY")
    for broken in (b"by hand", certificate[:key], certificate[:-60], certificate[:key] + other[key:]):
        pem.write_bytes(broken)
        result = self_signed(testmode)
        assert result["result"] is (None if testmode else True)
        assert result["changes"] == {"certificate": {"old": "none with its key", "new": "self-signed"}}
        assert (pem.read_bytes() == broken) is testmode
        assert bool(self_signed(testmode)["changes"]) is testmode


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
    first_order(self_signed, issued, pem, tmp_path)
    with authority(tmp_path):
        result = issued(domains=[NAME, MORE])
        assert (result["result"], names(pem)[0]) == (True, [MORE, NAME]), result["comment"]
        # As certbot's timer does.
        command("certbot", "renew", "--force-renewal", "--quiet", "--no-random-sleep-on-renew")
        assert (again := issued(test=True, domains=[NAME, MORE]))["changes"] == {}, again["comment"]
    # What it has said to a former run is no reason to forget the account.
    assert "Connection refused" in issued()["comment"]
    assert list((CERTBOT / "accounts").rglob("regr.json"))


def lose_note():
    NOTE.unlink()


def empty_note():
    NOTE.write_text("")


def cut_note():
    NOTE.write_bytes(NOTE.read_bytes()[:300] + bytes(100))


def lose_live():
    shutil.rmtree(LIVE)


def lose_live_and_note():
    lose_live()
    lose_note()


def lose_key():
    (LIVE / "privkey.pem").write_text("")


def follow_links():
    """As a backup without links brings it back."""
    files = {path: path.read_bytes() for path in LIVE.glob("*.pem")}
    lose_live()
    LIVE.mkdir()
    for path, content in files.items():
        path.write_bytes(content)


def tree():
    """All that certbot has of certificates."""
    found = (path for folder in ("live", "archive", "renewal", "aside") for path in (CERTBOT / folder).rglob("*"))
    return {str(path): path.is_file() and path.read_bytes() for path in found if "README" not in path.name}


@private_world
def test_a_renewal_that_is_noted_no_more_or_otherwise_is_noted_without_an_order(self_signed, issued, pem, tmp_path):
    first_order(self_signed, issued, pem, tmp_path)
    first = names(pem)
    whole = tree().keys()
    for lose in (lose_note, empty_note, cut_note):
        lose()
        foretold, result = issued(test=True), issued()
        assert (foretold["result"], result["result"]) == (None, True), result["comment"]
        assert (foretold["changes"], list(result["changes"])) == (result["changes"], ["renewal"])
        assert (issued()["changes"], names(pem), tree().keys()) == ({}, first, whole)
    other = {"renewal": {"http-01-port": {"old": str(PORT), "new": "8403"}}}
    assert issued(test=True, port=8403)["changes"] == issued(port=8403)["changes"] == other
    assert issued(port=8403)["changes"] == {}
    assert issued()["result"] is True
    with authority(tmp_path):
        # The account is of the former one.
        shutil.rmtree(CERTBOT / "accounts")
        command("certbot", "register", "--server", DIRECTORY, "--agree-tos", "--register-unsafely-without-email", "-n")
        empty_note()
        issued()
        # As certbot's timer does.
        command("certbot", "renew", "--force-renewal", "--quiet", "--no-random-sleep-on-renew")
    assert (names(pem) != first, len(tree())) == (True, len(whole) + 4)
    assert (again := issued())["changes"] == {}, again["comment"]


def add_stray():
    """As certbot makes another lineage if the one of this name is broken."""
    (CERTBOT / "archive/public-0001").mkdir()
    (CERTBOT / "archive/public-0001/cert1.pem").write_text("")
    (CERTBOT / "renewal/public-0001.conf").write_text("")


LOST = [empty_note, lose_note, lose_live, lose_live_and_note, lose_key, follow_links]


@private_world
def test_what_certbot_has_lost_is_ordered_once(self_signed, issued, pem, tmp_path):
    first_order(self_signed, issued, pem, tmp_path)
    first, whole = names(pem), tree().keys()
    add_stray()
    for lose in (lose_live, lose_note):
        lose()
        broken = tree()
        result = issued()
        assert (result["result"], result["changes"]) == (False, {}), lose
        assert "Connection refused" in result["comment"]
        assert (tree(), names(pem)) == (broken, first), lose

    with authority(tmp_path):
        assert issued()["result"] is True
        assert tree().keys() == whole
        for lose in LOST:
            before = names(pem)
            lose()
            add_stray()
            if lose in (empty_note, lose_note):
                # Whether the good one is of this CA, nothing tells.
                shutil.rmtree(CERTBOT / "accounts")
            foretold, result = issued(test=True), issued()
            assert (foretold["result"], result["result"]) == (None, True), result["comment"]
            assert foretold["changes"] == result["changes"], lose
            assert (names(pem) != before, tree().keys()) == (True, whole), lose
            before = names(pem)
            assert (issued(test=True)["changes"], issued()["changes"], names(pem)) == ({}, {}, before), lose


@private_world
def test_a_server_without_its_certificate_starts_with_the_one_that_certbot_has(self_signed, issued, pem, tmp_path):
    first_order(self_signed, issued, pem, tmp_path)
    first = names(pem)
    for lost in ("by hand", ""):
        pem.write_text(lost)
        foretold = self_signed(test=True), issued(test=True)
        assert pem.read_text() == lost
        started = self_signed()
        assert names(pem) == first and insync_certificate.complete(pem.read_bytes())
        # By the hook, which tells the server.
        told = issued()
        assert [one["result"] for one in (*foretold, started, told)] == [None, None, True, True]
        assert [one["changes"] for one in foretold] == [started["changes"], told["changes"]]
        old = "none with its key" if lost else None
        assert started["changes"] == {"certificate": {"old": old, "new": "of certbot"}}
        assert (told["changes"], names(pem)) == ({"installed": str(pem)}, first)
        assert (self_signed()["changes"], issued()["changes"]) == ({}, {})
    pem.write_text("by hand")
    (LIVE / "privkey.pem").write_text("")
    assert self_signed()["changes"]["certificate"]["new"] == "self-signed"


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
        before = names(pem)
        changes = {"renewal": {"dns-digitalocean-propagation-seconds": {"old": "10", "new": "11"}}}
        foretold, result = issued(seconds=11, test=True), issued(seconds=11)
        assert (foretold["result"], result["result"]) == (None, True), result["comment"]
        assert (foretold["changes"], result["changes"]) == (changes, changes)
        assert (issued(seconds=11)["changes"], names(pem)) == ({}, before), "nothing was ordered"

        foretold = issued("rfc2136", test=True)["comment"]
        why = "the current one would be renewed with authenticator dns-digitalocean, not dns-rfc2136"
        assert foretold == f"a certificate would be ordered: {why}"
