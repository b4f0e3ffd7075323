"""Names that lead elsewhere, and their certificates: one for the names, one for the wildcard, which DNS proves."""

import datetime
import json

import insync_ca
import pytest

from tests.fleet.conftest import INVENTORY, changed, failed, planned

SERVER = "ct1"
PUBLIC = INVENTORY["hosts"][SERVER]["public"]
REDIRECTS = {one["name"]: one["to"] for one in INVENTORY["zones"]["redirects"]}
WILDCARD = "*.insync.io"
ASKED = "/a/b?x=1&y=%20"
CERTIFICATES = "/etc/insync/certificates"
CREDENTIALS = "/etc/insync/dns-challenge.ini"
RENEWAL = "/etc/letsencrypt/renewal/wildcard.conf"


def get(fleet, url, *options):
    """What curl says of a request from the internet: (its exit code, "status where-to")."""
    show = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}", "--max-time", "20"]
    done = fleet.run("world", "curl", *show, *options, url)
    return done.returncode, done.stdout.strip()


def serial(fleet, name):
    """The serial number of the certificate that is served for ``name``, and its names."""
    ask = f"openssl s_client -connect {PUBLIC}:443 -servername {name} </dev/null 2>/dev/null"
    told = fleet.ok("world", "sh", "-c", f"{ask} | openssl x509 -noout -serial -ext subjectAltName").splitlines()
    return told[0], {entry.strip() for entry in told[-1].split(",")}


# Where they lead.


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", REDIRECTS)
def test_a_name_leads_elsewhere_with_path_and_query(fleet, name, scheme):
    asked = name.replace("*", "any")
    assert get(fleet, f"{scheme}://{asked}{ASKED}") == (0, f"301 {REDIRECTS[name]}{ASKED}")


def test_below_a_wildcard_a_name_may_be_deep_by_http_only(fleet):
    assert get(fleet, f"http://a.b.c.insync.io{ASKED}") == (0, f"301 {REDIRECTS[WILDCARD]}{ASKED}")
    # No wildcard's certificate has such a name: curl does not trust it, and who does not look gets there all the same.
    assert get(fleet, f"https://a.b.c.insync.io{ASKED}")[0] == 60
    assert get(fleet, f"https://a.b.c.insync.io{ASKED}", "--insecure") == (0, f"301 {REDIRECTS[WILDCARD]}{ASKED}")


@pytest.mark.parametrize("name", REDIRECTS)
def test_where_the_ca_asks_for_a_proof_nobody_else_finds_an_error(fleet, name):
    asked, path = name.replace("*", "any"), f"/.well-known/acme-challenge{ASKED}"
    assert get(fleet, f"http://{asked}{path}") == (0, f"301 https://{asked}{path}")
    assert get(fleet, f"https://{asked}{path}") == (0, f"301 {REDIRECTS[name]}{path}")


def test_a_browser_arrives(fleet):
    body = fleet.ok("world", "curl", "--silent", "--location", "--max-time", "20", "http://insynchq.com/version")
    assert json.loads(body)["name"] == "insync-web"


@pytest.mark.parametrize("name", ["evil.example", "insync.io", "insynchq.com.evil.example"])
def test_other_names_are_not_answered(fleet, name):
    there = ["--resolve", f"{name}:80:{PUBLIC}", "--resolve", f"{name}:443:{PUBLIC}"]
    assert get(fleet, f"http://{name}/", *there) == (52, "000")
    assert get(fleet, f"https://{name}/", "--insecure", *there) == (35, "000")
    # Nor for who comes in under a name that is.
    code, said = get(fleet, "https://insynchq.com/", "--header", f"Host: {name}", "--http1.1")
    assert (code, said) == (52, "000")


def test_an_address_is_no_name(fleet):
    assert get(fleet, f"http://{PUBLIC}/") == (52, "000")
    assert get(fleet, f"https://{PUBLIC}/", "--insecure") == (35, "000")


# Their certificates.


def test_each_name_is_shown_its_own_certificate(fleet):
    names, wildcard = serial(fleet, "insynchq.com"), serial(fleet, "any.insync.io")
    assert names == serial(fleet, "jobs.insynchq.com")
    assert names[1] == {"DNS:insynchq.com", "DNS:jobs.insynchq.com", "DNS:blog.insynchq.com"}
    assert wildcard[1] == {"DNS:*.insync.io", "DNS:insync.io"}


def test_what_may_change_the_dns_is_for_root_alone(fleet):
    assert fleet.ok(SERVER, "stat", "-c", "%a %U:%G", CREDENTIALS) == "600 root:root\n"


@pytest.mark.alone
def test_what_is_good_is_not_ordered_again_but_put_back_where_it_was_lost(fleet):
    before = serial(fleet, "any.insync.io")
    fleet.ok(SERVER, "sh", "-c", f"echo by hand > {CERTIFICATES}/wildcard.pem; systemctl stop nginx")
    mended = ["acme-wildcard-certificate", "acme-wildcard-self-signed", "nginx-service"]
    (states,) = fleet.highstate(SERVER, "test=True").values()
    assert (failed(states), planned(states)) == ([], mended)
    (states,) = fleet.highstate(SERVER).values()
    assert (failed(states), changed(states)) == ([], mended)
    (found,) = [state for state in states if state["__id__"] == "acme-wildcard-certificate"]
    assert found["changes"] == {"installed": f"{CERTIFICATES}/wildcard.pem"}
    assert serial(fleet, "any.insync.io") == before


@pytest.mark.alone
def test_the_timer_renews_the_wildcard_and_nginx_serves_the_new_one_without_a_restart(fleet):
    names, before = serial(fleet, "insynchq.com"), serial(fleet, "any.insync.io")
    pid = fleet.ok(SERVER, "systemctl", "show", "--property=MainPID", "nginx")
    fleet.ok(SERVER, "sed", "-i", "s/^# renew_before_expiry = .*/renew_before_expiry = 3000 days/", RENEWAL)
    try:
        fleet.ok(SERVER, "systemctl", "start", "certbot.service")
    finally:
        fleet.ok(SERVER, "sed", "-i", "s/^renew_before_expiry = .*/# renew_before_expiry = 30 days/", RENEWAL)
    after = serial(fleet, "any.insync.io")
    assert (after[0] != before[0], after[1]) == (True, before[1])
    assert get(fleet, f"https://any.insync.io{ASKED}") == (0, f"301 {REDIRECTS[WILDCARD]}{ASKED}")
    assert fleet.ok(SERVER, "systemctl", "show", "--property=MainPID", "nginx") == pid
    assert serial(fleet, "insynchq.com") == names, "the other one was not due"
    left = fleet.ok("world", "dig", "+short", "TXT", "_acme-challenge.insync.io", "@198.51.100.3")
    assert left == "", "what proved it is taken back"


@pytest.mark.alone
def test_a_dns_that_refuses_fails_the_state_and_says_why(fleet):
    folder = "/run/wrong"
    key = "s/^dns_rfc2136_secret = .*/dns_rfc2136_secret = bm90IHRoZSBrZXk=/"
    prepare = f"umask 077; mkdir {folder}; sed '{key}' {CREDENTIALS} > {folder}/dns.ini"
    fleet.ok(SERVER, "sh", "-c", prepare)
    dns = {"provider": "rfc2136", "credentials": f"{folder}/dns.ini", "propagation_seconds": 1}
    directory = fleet.ok(SERVER, "sed", "-n", "s/^server = //p", RENEWAL).strip()
    # A name that was never proven: for others the CA may not ask again.
    arguments = [f"name={folder}/wrong.pem", "domains=['*.new.insync.io']", f"directory={directory}"]
    try:
        (states,) = fleet.salt(
            SERVER, "state.single", "insync_certificate.issued", *arguments, f"dns={json.dumps(dns)}"
        ).values()
        (state,) = states.values()
        assert (state["result"], state["changes"]) == (False, {})
        assert state["comment"].startswith(f"no new certificate for *.new.insync.io: {directory}: ")
        assert state["comment"].endswith("The peer didn't like the signature we sent")
        assert fleet.run(SERVER, "test", "-e", "/etc/letsencrypt/live/wrong").returncode == 1
    finally:
        fleet.ok(SERVER, "rm", "-r", folder)


# What the operators see of all certificates.


def told(fleet):
    """(exit code, {(server, name): row}) of the table."""
    done = fleet.run(SERVER, "salt-run", "insync.certificates", "--out=json", "--log-level=critical")
    rows = json.loads(done.stdout)["data"]
    return done.returncode, {(row["server"], row["name"], row["service"]): row for row in rows}


@pytest.mark.alone
def test_every_certificate_is_in_the_table_and_good(fleet):
    code, rows = told(fleet)
    assert {key: row["problem"] for key, row in rows.items() if row["problem"]} == {}
    assert code == 0
    issuers = {row["name"]: (row["issuer"].split()[0], row["days"] >= 85) for row in rows.values()}
    assert all(issuers[name] == ("Pebble", True) for name in REDIRECTS), issuers
    assert issuers["www.insynchq.com"] == ("Pebble", True)
    assert issuers["db.insync.internal"] == issuers["the fleet's own CA"] == ("Insync", True)


@pytest.mark.alone
def test_one_that_expires_soon_is_marked_and_fails(fleet):
    """Self-made, and served as if its timer had failed: of a CA, for 90 days, of which ten are left."""
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=80)
    late = insync_ca.issue(
        insync_ca.make_authority("late", 100, since), ["insynchq.com", "jobs.insynchq.com"], [], 90, since
    )
    fleet.ok(SERVER, "cp", "-p", f"{CERTIFICATES}/public.pem", "/run/public.pem")
    try:
        fleet.ok(SERVER, "sh", "-c", f"cat > {CERTIFICATES}/public.pem", stdin=late.certificate + late.key)
        fleet.ok(SERVER, "systemctl", "reload", "nginx")
        fleet.eventually(lambda: "DNS:blog.insynchq.com" not in serial(fleet, "insynchq.com")[1], 10)
        code, rows = told(fleet)
    finally:
        fleet.ok(SERVER, "mv", "/run/public.pem", f"{CERTIFICATES}/public.pem")
        fleet.ok(SERVER, "systemctl", "reload", "nginx")
    assert code == 1
    found = {row["name"]: row["problem"] for row in rows.values() if row["problem"]}
    assert found == {
        "insynchq.com": "expires soon",
        "jobs.insynchq.com": "expires soon",
        "blog.insynchq.com": "has not this name",
    }
    (late,) = [row for row in rows.values() if row["name"] == "insynchq.com"]
    assert (late["issuer"], late["days"]) == ("late", 9)
    text = fleet.run(SERVER, "salt-run", "insync.certificates").stdout.splitlines()
    assert text[0].split() == ["server", "name", "service", "issuer", "expires", "days", "problem"]
