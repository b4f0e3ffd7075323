"""The fleet's certificates in a site folder: made once, renewed in time, told when they are missing."""

import datetime
import os
import pathlib
import shutil
import subprocess

import insync_ca
import insync_site
import insync_tls
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def inventory(**addresses):
    """Servers with a TLS service at these addresses, and one without."""
    hosts = {name: {"private": address, "roles": ["mysql"]} for name, address in addresses.items()}
    return {
        "networks": {"private": {"domain": "example.internal"}},
        "hosts": {**hosts, "web02": {"private": "10.0.0.99", "roles": []}},
        "services": {"mysql": {"role": "mysql", "tls": True}},
    }


@pytest.fixture(scope="module")
def gpg_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("gpg") / "gpgkeys"
    home.mkdir(mode=0o700)
    gpg(home, "--passphrase", "", "--quick-generate-key", "Test", "future-default", "default", "never")
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


@pytest.fixture
def site(tmp_path, gpg_home):
    (tmp_path / "gpgkeys").symlink_to(gpg_home)
    return tmp_path


def gpg(home, *arguments, **options):
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def done(result):
    return {name: what for name, what, _ in result}


def text(site, name):
    return (site / "tls" / name).read_text()


def test_each_server_with_a_tls_service_has_a_certificate(site):
    servers = inventory(db="10.0.0.1", redis="10.0.0.2")
    assert done(insync_tls.ensure(servers, site, NOW)) == {
        "ca": "made",
        "db": "issued (missing)",
        "redis": "issued (missing)",
    }
    facts = insync_ca.read(text(site, "db.crt"))
    assert (facts.names, facts.addresses) == (("db", "db.example.internal"), ("10.0.0.1",))
    assert facts.not_after == NOW + 825 * DAY
    assert insync_ca.issued_by(text(site, "db.crt"), text(site, "ca.crt"))
    assert not list((site / "tls").glob("web02*"))


def test_private_keys_are_encrypted_and_fit_the_certificates(site):
    insync_tls.ensure(inventory(db="10.0.0.1"), site, NOW)
    for path in (site / "tls").glob("*"):
        assert "PRIVATE" not in path.read_text()
    key = gpg(site / "gpgkeys", "--decrypt", input=text(site, "db.key.asc"))
    public = [["openssl", "pkey", "-pubout"], ["openssl", "x509", "-noout", "-pubkey"]]
    inputs = (key, text(site, "db.crt"))
    of_both = [
        subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
        for command, text in zip(public, inputs, strict=True)
    ]
    assert of_both[0] == of_both[1]


def test_a_second_run_does_nothing(site):
    servers = inventory(db="10.0.0.1")
    insync_tls.ensure(servers, site, NOW)
    before = {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in (site / "tls").glob("*")}
    assert set(done(insync_tls.ensure(servers, site, NOW)).values()) == {""}
    assert {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in (site / "tls").glob("*")} == before


def spoil(site, kind):
    """Make the certificate of db one that has to be made anew; return the inventory and the time that show it."""
    folder = site / "tls"
    if kind == "missing":
        (folder / "db.key.asc").unlink()
    if kind == "another authority's":
        (folder / "ca.crt").unlink()
        (folder / "ca.key.asc").unlink()
    address = "10.0.0.9" if kind == "other names" else "10.0.0.1"
    return inventory(db=address, redis="10.0.0.2"), NOW + (766 * DAY if kind == "expires soon" else 764 * DAY)


@pytest.mark.parametrize("kind", ["missing", "other names", "another authority's", "expires soon"])
def test_what_is_no_longer_right_is_made_anew(site, kind):
    insync_tls.ensure(inventory(db="10.0.0.1", redis="10.0.0.2"), site, NOW)
    untouched = text(site, "redis.crt")
    servers, now = spoil(site, kind)
    assert done(insync_tls.ensure(servers, site, now))["db"] == f"issued ({kind})"
    assert (text(site, "redis.crt") == untouched) == (kind in ("missing", "other names"))
    assert set(done(insync_tls.ensure(servers, site, now)).values()) == {""}


def test_an_interrupted_run_leaves_nothing_that_does_not_fit(site, monkeypatch):
    servers = inventory(db="10.0.0.1")
    insync_tls.ensure(servers, site, NOW)
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError):
            insync_tls.ensure(servers, site, NOW + 800 * DAY)
    assert done(insync_tls.ensure(servers, site, NOW + 800 * DAY))["db"] == "issued (missing)"


@pytest.mark.parametrize("lost", ["ca.crt", "ca.key.asc"])
def test_half_an_authority_is_no_reason_to_make_another(site, lost):
    servers = inventory(db="10.0.0.1")
    insync_tls.ensure(servers, site, NOW)
    (site / "tls" / lost).unlink()
    with pytest.raises(insync_site.SiteError, match=f"tls/{lost}: is missing, but .* is there; take it from your copy"):
        insync_tls.ensure(servers, site, NOW)


def test_wrong_site_folders_are_refused(site, tmp_path_factory):
    servers = inventory(db="10.0.0.1")
    empty = tmp_path_factory.mktemp("site")
    with pytest.raises(insync_site.SiteError, match="gpgkeys: no such folder"):
        insync_tls.ensure(servers, empty, NOW)
    (empty / "gpgkeys").mkdir(mode=0o700)
    with pytest.raises(insync_site.SiteError, match="0 secret keys, one is needed"):
        insync_tls.ensure(servers, empty, NOW)
    insync_tls.ensure(servers, site, NOW)
    (site / "tls" / "db.crt").write_text("a text")
    with pytest.raises(insync_site.SiteError, match="tls/db.crt: is no certificate in PEM format; remove it, then"):
        insync_tls.ensure(servers, site, NOW)
    (site / "tls" / "db.crt").unlink()
    (site / "tls" / "ca.key.asc").write_text("a text")
    with pytest.raises(insync_site.SiteError, match="ca.key.asc: gpg: "):
        insync_tls.ensure(servers, site, NOW)


def test_a_server_gets_its_own_certificate_only(site):
    servers = inventory(db="10.0.0.1", redis="10.0.0.2")
    insync_tls.ensure(servers, site, NOW)
    roots = ["/nowhere", str(site)]
    assert insync_tls.of_host(roots, servers, "web02") == {"ca": text(site, "ca.crt")}
    assert insync_tls.of_host(roots, servers, "db") == {
        "ca": text(site, "ca.crt"),
        "certificate": text(site, "db.crt"),
        "key": text(site, "db.key.asc"),
    }
    (site / "tls" / "db.key.asc").unlink()
    with pytest.raises(insync_site.SiteError) as told:
        insync_tls.of_host(roots, servers, "db")
    assert str(told.value) == (
        f"tls/db.key.asc: no such file in the site folder ({site}); 'bootstrap/certificates {site}' makes it"
    )


def test_problems_are_told_before_the_servers_notice(site):
    servers = inventory(db="10.0.0.1", redis="10.0.0.2")
    insync_tls.ensure(servers, site, NOW)
    assert insync_tls.problems(servers, site, NOW + 794 * DAY) == []
    (site / "tls" / "redis.crt").unlink()
    found = insync_tls.problems(servers, site, NOW + 796 * DAY)
    until = f"{NOW + 825 * DAY:%Y-%m-%d}"
    assert found == [
        f"tls/db.crt: expires on {until}; 'bootstrap/certificates {site}' makes it",
        f"tls/redis.crt: no such file in the site folder ({site}); 'bootstrap/certificates {site}' makes it",
    ]


def test_the_command_says_what_it_did_or_why_not(site):
    command = [ROOT / "bootstrap" / "certificates"]
    first, second = (subprocess.run([*command, site], capture_output=True, text=True, check=True) for _ in range(2))
    assert first.stdout.splitlines()[0].startswith("ca: made, valid until 20")
    assert "db: issued (missing), valid until 20" in first.stdout
    assert {line.split(": ")[1].split(",")[0] for line in second.stdout.splitlines()} == {"kept"}
    for arguments, said in (
        ([], "which site folder?"),
        ([site / "nowhere"], "nowhere: no such folder; docs/bootstrap.md tells what the site folder holds"),
    ):
        wrong = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert wrong.returncode != 0 and wrong.stdout == ""
        assert wrong.stderr.startswith("bootstrap/certificates: ") and said in wrong.stderr
        assert len(wrong.stderr.splitlines()) == 1


def test_the_command_leaves_the_checkout_as_it_is(site, tmp_path_factory):
    """What it left there would be deployed, as another revision, if that is no git checkout."""
    checkout = tmp_path_factory.mktemp("checkout")
    for folder in ("bootstrap", "_utils", "pillar"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(checkout.rglob("*"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([checkout / "bootstrap" / "certificates", site], env=environment, capture_output=True, check=True)
    assert sorted(checkout.rglob("*")) == before
