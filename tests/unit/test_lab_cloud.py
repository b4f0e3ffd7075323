"""The services of insync-cloud: what they are configured with, and a mail relay that answers as it says."""

import asyncio
import contextlib
import dataclasses
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import subprocess

import insync_ca
import pytest
import yaml

from lab import cloud, podman, s3
from lab.paths import LAB

LAB_YAML = {
    "cloud": {"public": "198.51.100.3", "domain": "cloud.example"},
    "buckets": {"packages": {"public": "packages.example"}, "backups": {}},
}


class Settings:
    """What cloud needs of the lab's settings."""

    lab = LAB_YAML
    master = "ct9"
    subnets = {"public": "198.51.100.0/24"}
    inventory = {"hosts": {}, "services": {}, "zones": {"redirects": []}}


class Progress:
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture(autouse=True)
def no_index(monkeypatch):
    monkeypatch.setattr(cloud, "machine_index", lambda: ("", ""))


def files(directory):
    return {file.path: file for file in cloud.files(Settings(), directory)}


def test_the_fleet_is_led_to_the_services(monkeypatch):
    assert cloud.pillar(LAB_YAML) == {
        "base": {
            "acme": {"directory": "https://acme.cloud.example:14000/dir"},
            "backup_store": {"endpoint": "https://s3.cloud.example", "region": "default"},
        },
        "conf_server": {"conf": {"namespaces": {"mailer": {"smtp": {"host": "smtp.cloud.example", "port": 587}}}}},
        "forum": {"misago": {"mail": {"host": "smtp.cloud.example", "port": 587}}},
        "pypi_server": {"devpi": {"proxy": "http://proxy.cloud.example:8888"}},
        "repos": {
            "repos": {
                "source": "s3://insync_builds",
                "store": {"endpoint": "https://s3.cloud.example", "region": "default"},
            }
        },
        "redirects": {
            "acme": {
                "dns": {
                    "provider": "rfc2136",
                    "server": "198.51.100.3",
                    "port": 5300,
                    "key": "insync-acme",
                    "algorithm": "HMAC-SHA512",
                    "propagation_seconds": 1,
                }
            }
        },
        "backup_retention": {
            "backup_retention": {"store": {"endpoint": "https://s3.cloud.example", "region": "default"}}
        },
        "db_verifier": {"db_verifier": {"store": {"endpoint": "https://s3.cloud.example", "region": "default"}}},
        "mysql_replica": {"mariadb": {"backup": {"endpoint": "https://s3.cloud.example", "region": "default"}}},
        "wiki": {"mediawiki": {"archive": {"endpoint": "https://s3.cloud.example", "region": "default"}}},
    }
    monkeypatch.setattr(cloud, "machine_index", lambda: ("https://index.example/simple", ""))
    assert cloud.pillar(LAB_YAML)["pypi_server"]["devpi"]["upstream"] == "https://index.example/simple"


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, ("", "")),
        ({"PIP_INDEX_URL": "https://a.example/simple"}, ("https://a.example/simple", "")),
        ({"PIP_INDEX_URL": "https://a.example", "HTTPS_PROXY": "http://b.example:3128"}, None),
        ({"PIP_PROXY": "http://c.example:3128", "HTTPS_PROXY": "http://b.example:3128"}, ("", "http://c.example:3128")),
    ],
)
def test_this_machines_index_and_proxy_are_found(monkeypatch, environment, expected):
    monkeypatch.undo()
    for name in [name for name in os.environ if re.match("(PIP_|HTTPS?_PROXY)", name, re.IGNORECASE)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cloud.machine_index.cache_clear()
    assert cloud.machine_index() == (expected or ("https://a.example", "http://b.example:3128"))
    cloud.machine_index.cache_clear()


def test_the_proxy_leads_to_the_index_and_nowhere_else(monkeypatch, tmp_path):
    def config():
        return files(tmp_path)["/etc/tinyproxy/tinyproxy.conf"].text.splitlines()

    assert {"Allow 198.51.100.0/24", "ConnectPort 443", "Port 8888"} <= set(config())
    assert not [line for line in config() if line.startswith("Upstream")]
    monkeypatch.setattr(
        cloud, "machine_index", lambda: ("https://a.example:8443/simple", "http://me:pw@b.example:3128")
    )
    assert {"ConnectPort 8443", "Upstream http me:pw@b.example:3128"} <= set(config())


def test_certificates_are_kept_and_of_the_web_authority(tmp_path):
    first = files(tmp_path / "ca")
    assert files(tmp_path / "ca") == first
    expected = {
        "/etc/pebble": (("acme.cloud.example",), ()),
        "/etc/smtp-sink": (("smtp.cloud.example",), ()),
        "/etc/nginx": (("packages.example", "s3.cloud.example"), ()),
    }
    for path, called in expected.items():
        certificate = first[f"{path}/certificate.pem"].text
        facts = insync_ca.read(certificate)
        assert (facts.names, facts.addresses) == called
        assert insync_ca.issued_by(certificate, cloud.web_authority(tmp_path / "ca").certificate)
        assert first[f"{path}/key.pem"].mode == "0600"
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "ca").glob("*.key")} == {
        "ca.key": 0o600,
        "acme.cloud.example.key": 0o600,
        "s3.cloud.example.key": 0o600,
        "smtp.cloud.example.key": 0o600,
    }


def test_the_zones_of_wildcards_take_signed_updates_of_one_record_each(monkeypatch, tmp_path):
    redirects = [{"name": name, "host": "a"} for name in ("a.example", "*.c.example", "*.b.example")]
    inventory = {"hosts": {"a": {"public": "198.51.100.9", "roles": []}}, "services": {}, "zones": {}}
    monkeypatch.setattr(Settings, "inventory", {**inventory, "zones": {"redirects": redirects}})
    found = files(tmp_path)
    assert {"/etc/acme-dns/b.example.zone", "/etc/acme-dns/c.example.zone"} <= set(found)
    config = found["/etc/acme-dns/named.conf"]
    assert config.mode == "0600"
    granted = re.findall(r"grant (\S+) name (\S+)\. (\w+);", config.text)
    assert granted == [("insync-acme", f"_acme-challenge.{zone}", "TXT") for zone in ("b.example", "c.example")]
    secret = yaml.safe_load((LAB / "fake_secrets.yaml").read_text())["redirects"]["dns_credential"]
    assert re.findall('secret "(.*)"', config.text) == [secret]
    records = found["/etc/dnsmasq.d/fleet.conf"].text.splitlines()
    assert "server=/_acme-challenge.b.example/127.0.0.1#5300" in records


def test_another_authority_means_other_certificates(tmp_path):
    first = files(tmp_path)
    (tmp_path / "ca.crt").unlink()
    second = files(tmp_path)
    assert first["/etc/pebble/certificate.pem"] != second["/etc/pebble/certificate.pem"]
    assert insync_ca.issued_by(second["/etc/pebble/certificate.pem"].text, cloud.web_authority(tmp_path).certificate)


def test_another_public_name_means_another_certificate(monkeypatch, tmp_path):
    files(tmp_path)
    more = {**LAB_YAML["buckets"], "downloads": {"public": "downloads.example"}}
    monkeypatch.setattr(Settings, "lab", {**LAB_YAML, "buckets": more})
    certificate = files(tmp_path)["/etc/nginx/certificate.pem"].text
    assert "downloads.example" in insync_ca.read(certificate).names


def test_the_public_dns_knows_the_store_and_its_public_names(tmp_path):
    records = files(tmp_path)["/etc/dnsmasq.d/fleet.conf"].text.splitlines()
    assert {f"host-record={name},198.51.100.3" for name in ("s3.cloud.example", "packages.example")} <= set(records)


@dataclasses.dataclass
class Container:
    """Stands for insync-cloud: keeps files, answers the questions that configure asks."""

    files: dict
    inactive: set
    calls: list

    def write(self, server, path, text, mode="0644"):
        """As podman.write."""
        self.files[path] = text

    def execute(self, server, *command, **options):
        """As podman.execute."""
        self.calls.append(command)
        out = ""
        if command[0] == "sha256sum":
            there = [path for path in command[1:] if path in self.files]
            out = "".join(f"{hashlib.sha256(self.files[path].encode()).hexdigest()}  {path}\n" for path in there)
        if command[1:2] == ("is-active",):
            out = "".join("failed\n" if unit in self.inactive else "active\n" for unit in command[2:])
        return subprocess.CompletedProcess(command, 0, out, "")


@pytest.fixture
def container(monkeypatch):
    found = Container({}, set(), [])
    monkeypatch.setattr(podman, "write", found.write)
    monkeypatch.setattr(podman, "execute", found.execute)
    monkeypatch.setattr(cloud, "trust_acme", lambda settings: None)
    monkeypatch.setattr(podman, "network", lambda name: contextlib.nullcontext(found.calls.append(("enter", name))))
    monkeypatch.setattr(s3, "client", lambda: "store")
    monkeypatch.setattr(s3, "prepare", lambda store, *told: found.calls.append(("prepare", store, *told)))
    return found


def restarted(container):
    return {unit for command in container.calls if command[:2] == ("systemctl", "restart") for unit in command[2:]}


ALL = {
    "acme-dns.service",
    "dnsmasq.service",
    "nginx.service",
    "pebble.service",
    "smtp-sink.service",
    "tinyproxy.service",
}


def test_only_what_changed_is_restarted(container, tmp_path):
    progress = Progress()
    cloud.configure(Settings(), progress, tmp_path)
    assert restarted(container) == ALL
    assert progress.said == [f"cloud: {', '.join(sorted(ALL))}"]
    container.calls.clear()
    cloud.configure(Settings(), progress, tmp_path)
    assert restarted(container) == set()
    container.files["/etc/smtp-sink/password"] = "another"
    container.inactive = {"s3.service", "tinyproxy.service"}
    cloud.configure(Settings(), progress, tmp_path)
    assert restarted(container) == {"s3.service", "smtp-sink.service", "tinyproxy.service"}
    assert container.files["/etc/smtp-sink/password"] != "another"


def test_the_store_is_prepared_each_time_from_within_the_cloud(container, tmp_path):
    for _ in range(2):
        container.calls.clear()
        cloud.configure(Settings(), Progress(), tmp_path)
        assert container.calls[-2:] == [("enter", "cloud"), ("prepare", "store", LAB_YAML["buckets"], {})]


def test_every_unit_is_in_the_image_or_in_a_package_of_it():
    packages = yaml.safe_load((LAB / "images.yaml").read_text())["cloud"]
    units = LAB / "images" / "cloud" / "etc" / "systemd" / "system"
    packaged = {f"{name.removesuffix('-light')}.service" for name in packages}
    for unit in ALL | {s3.UNIT}:
        assert (units / unit).exists() or unit in packaged


def test_the_world_the_master_and_ci_trust_the_acme_authority(monkeypatch, tmp_path):
    root, there = cloud.web_authority(tmp_path).certificate, {"world": {}, "ct9": {}, "drone": {}}

    def execute(server, *command, **options):
        known = command[0] != "test" or command[-1] in there[server]
        return subprocess.CompletedProcess(command, int(not known), root if command[0] == "curl" else "", "")

    calls = []
    monkeypatch.setattr(podman, "execute", lambda *a, **options: calls.append(a[:2]) or execute(*a, **options))
    monkeypatch.setattr(podman, "write", lambda server, path, text: there[server].update({path: text}))
    settings = Settings()
    settings.inventory = {**Settings.inventory, "hosts": {"drone": {"roles": ["ci"]}, "web": {"roles": ["web"]}}}
    cloud.trust_acme(settings)
    assert [list(files.values()) for files in there.values()] == [[root], [root], [root]]
    assert {("world", "update-ca-certificates"), ("ct9", "update-ca-certificates")} <= set(calls)
    calls.clear()
    cloud.trust_acme(settings)
    assert "update-ca-certificates" not in {command for _, command in calls}


@pytest.fixture(scope="module")
def sink():
    """The relay's script as a module; aiosmtpd, which only the image has, is stood in for."""
    path = LAB / "images" / "cloud" / "usr" / "local" / "bin" / "smtp-sink"
    text = path.read_text()
    assert os.access(path, os.X_OK)
    source = re.sub(r"^from aiosmtpd.*\n", "", text, flags=re.MULTILINE)
    spec = importlib.util.spec_from_loader("smtp_sink", importlib.machinery.SourceFileLoader("smtp_sink", str(path)))
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  our own script
    return module


class Envelope:
    """As aiosmtpd's."""

    def __init__(self):
        self.rcpt_tos, self.mail_from, self.content = [], "noreply@example.com", b"Subject: a\r\n\r\ntext\r\n"


def recipient(sink, relay, address):
    envelope = Envelope()
    said = asyncio.run(relay.handle_RCPT(None, None, envelope, address, []))
    return said[:3], envelope.rcpt_tos


def test_the_relay_puts_off_each_message_twice_and_refuses_for_good(sink, tmp_path):
    relay = sink.Sink(tmp_path / "mail")
    for _ in range(2):
        answers = [recipient(sink, relay, "tempfail1@example.com")[0] for _ in range(3)]
        assert answers == ["451", "451", "250"]
    assert recipient(sink, relay, "permfail@example.com") == ("550", [])
    assert recipient(sink, relay, "ann@example.com") == ("250", ["ann@example.com"])


def test_the_relay_keeps_the_message_with_its_envelope(sink, tmp_path):
    relay, envelope = sink.Sink(tmp_path / "mail"), Envelope()
    envelope.rcpt_tos = ["ann@example.com"]
    assert asyncio.run(relay.handle_DATA(None, None, envelope)).startswith("250")
    (path,) = (tmp_path / "mail" / "new").iterdir()
    kept = path.read_bytes().replace(b"\r\n", b"\n").decode()
    assert kept == "Return-Path: <noreply@example.com>\nDelivered-To: ann@example.com\nSubject: a\n\ntext\n"
