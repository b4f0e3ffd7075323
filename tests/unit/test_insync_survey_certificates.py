"""What the survey finds of certificates, wherever they lie, and who answers for them."""

import ssl
import subprocess

import pytest


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(a certificate of a.example, its key), both str."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=x".split()
    options = ["-addext", "subjectAltName=DNS:a.example", "-keyout", folder / "key", "-out", folder / "crt"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return (folder / "crt").read_text(), (folder / "key").read_text()


ENCRYPTED = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"


def told(found):
    return {line.split()[1].rstrip(":") for line in found["unknown"] if line.startswith("certificate ")}


def test_a_certificate_is_read_and_its_key_is_not(root, pair):
    root.write("/etc/nginx/site.crt", "".join(pair))
    root.write("/etc/nginx/broken.pem", "hunter2")
    root.write("/etc/nginx/key.pem", pair[1])
    # Whoever reads this as it says would ask for a password.
    root.write("/etc/nginx/encrypted.pem", pair[0].replace("-----\n", "-----\n" + ENCRYPTED, 1))
    (row,) = root.survey()["found"]["certificates"]
    assert (row["path"], row["names"], row["days"], row["by"]) == ("/etc/nginx/site.crt", ["a.example"], 29, "")
    (line,) = root.survey()["unknown"]
    assert line.startswith("certificate /etc/nginx/site.crt: a.example, until 2")


PLACES = [
    "/etc/nginx/tls/a.crt",
    "/etc/ssl/certs/own.pem",
    "/etc/ssl/private/both.pem",
    "/etc/apache2/ssl/a.cer",
    "/etc/postfix/a.pem",
    "/opt/tls/a.crt",
    "/home/alice/a.cert",
    "/usr/local/share/ca-certificates/own.crt",
    "/var/www/a.pem",
]


def test_certificates_are_found_wherever_configuration_or_data_is(root, pair):
    for name in PLACES:
        root.write(name, pair[0])
    root.write("/srv/tls/der.cer").write_bytes(ssl.PEM_cert_to_DER_cert(pair[0]))
    # What programs bring along.
    for name in ("lib/python3.9/test/x.pem", "node_modules/a/x.crt", "vendor/x.pem"):
        root.write(f"/srv/{name}", pair[0])
    # The same one under another name.
    root.link("/etc/nginx/link.crt", "tls/a.crt")
    found = root.survey()
    assert told(found) == {*PLACES, "/srv/tls/der.cer"} and found["incomplete"] == []


NGINX = "server { server_name a.example; ssl_certificate %s; ssl_certificate_key /etc/S3CRET.key; }\n"
APACHE = "<VirtualHost *:443>\n SSLCertificateFile %s\n# SSLCertificateFile /S3CRET\n</VirtualHost>\n"


@pytest.mark.parametrize(
    "text, name",
    [
        (NGINX % "/run/tls/first", "/run/tls/first"),
        (NGINX % "'certs/first'", "/etc/nginx/certs/first"),
        (NGINX % "/etc/letsencrypt/live/a.example/fullchain.pem", "/etc/letsencrypt/live/a.example/cert.pem"),
        (APACHE % "/run/tls/first", "/run/tls/first"),
        (APACHE % '"ssl/first"', "/etc/apache2/ssl/first"),
    ],
)
def test_what_a_site_names_is_found_whatever_it_is_called(root, pair, text, name):
    root.write("/etc/nginx/sites-enabled/own" if text.startswith("server") else "/etc/apache2/conf-enabled/own", text)
    for one in (name, name.replace("cert.pem", "fullchain.pem")):
        root.write(one, pair[0])
    found = root.survey()
    assert told(found) == {name} and found["incomplete"] == []
    assert told(root.survey(known={name: "the provider's"})) == set()


@pytest.mark.parametrize(
    "word, said",
    [
        ("/srv/gone", "certificates of nginx: /srv/gone is named, and not there"),
        ("/etc/passwd", "certificates of nginx: /etc/passwd is named, and cannot be read as one"),
        ("/srv/$S3CRET.pem", "certificates of nginx: one whose name cannot be followed"),
    ],
)
def test_one_that_is_named_and_cannot_be_read_is_told(root, word, said):
    root.write("/etc/nginx/conf.d/own", NGINX % word)
    assert root.survey()["incomplete"] == [said]


def test_those_of_states_and_packages_are_known(root, pair):
    root.package("ca-certificates", ["/usr/share/ca-certificates/mozilla/x.crt", "/etc/ssl/certs"])
    packaged = ("/usr/share/ca-certificates/mozilla/x.crt", "/etc/ssl/certs/ssl-cert-snakeoil.pem")
    managed = ("/etc/insync/fleet-ca.crt", "/etc/letsencrypt/live/public/cert.pem")
    for name in (*packaged, *managed, "/etc/letsencrypt/archive/public/cert1.pem"):
        root.write(name, pair[0])
    root.write("/etc/ssl/certs/ca-certificates.crt", pair[0])
    root.link("/etc/ssl/certs/x.pem", "../../../usr/share/ca-certificates/mozilla/x.crt")
    # Everybody's authorities, as programs bring them along.
    root.write("/srv/app/cacert.pem", pair[0] * 200)
    found = root.survey(files=managed[:1], places=["/etc/letsencrypt/live/public"])
    assert (found["unknown"], found["incomplete"]) == ([], [])
    assert {row["path"]: row["by"] for row in found["found"]["certificates"]} == dict.fromkeys(managed, "salt")
