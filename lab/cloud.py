"""What others run for the fleet, in insync-cloud: DNS, ACME, a mail relay, a way to the package index, and S3."""

import dataclasses
import datetime
import functools
import hashlib
import json
import os
import sys
import urllib.parse

import insync_ca
import insync_inventory
import yaml

from lab import clients, network, podman, s3, shell
from lab.errors import LabError
from lab.paths import LAB, STATE

ACME_PORT = 14000
# On loopback only.
ACME_MANAGEMENT_PORT = 15000
SMTP_PORT = 587
PROXY_PORT = 8888
# Of the name server that takes signed updates, and the key that it knows.
UPDATES_PORT = 5300
UPDATES_KEY, UPDATES_ALGORITHM = "insync-acme", "hmac-sha512"
SERVICES = ("acme", "smtp", "proxy", "s3")

WEB_CA = STATE / "web-ca"
WEB_CA_FILE = "/usr/local/share/ca-certificates/insync-lab-web.crt"
DAYS = 825
RENEW_DAYS = 60
# The roles whose servers ask public sites.
READERS = ("ci", "ci_integration")
# As the best known public ACME authority.
ACME_DAYS = 90


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the cloud, and the unit that reads it."""

    path: str
    text: str
    unit: str
    mode: str = "0644"


def names(lab):
    """Return {name: address} of the cloud's services; ``lab`` (dict) is what lab.yaml says."""
    return {f"{service}.{lab['cloud']['domain']}": lab["cloud"]["public"] for service in SERVICES}


def pillar(lab):
    """Return {role: pillar} that leads the fleet to the cloud's services; ``lab`` (dict) is what lab.yaml says."""
    acme, smtp, proxy, store = names(lab)
    index, _ = machine_index()
    upstream = {"upstream": index} if index else {}
    where = {"endpoint": f"https://{store}", "region": s3.REGION}
    dns = {"provider": "rfc2136", "server": lab["cloud"]["public"], "port": UPDATES_PORT, "key": UPDATES_KEY}
    # Nobody has to wait until other name servers have heard of a record.
    dns |= {"algorithm": UPDATES_ALGORITHM.upper(), "propagation_seconds": 1}
    return {
        "base": {"acme": {"directory": f"https://{acme}:{ACME_PORT}/dir"}, "backup_store": where},
        "conf_server": {"conf": {"namespaces": {"mailer": {"smtp": {"host": smtp, "port": SMTP_PORT}}}}},
        "backup_retention": {"backup_retention": {"store": where}},
        "db_verifier": {"db_verifier": {"store": where}},
        "forum": {"misago": {"mail": {"host": smtp, "port": SMTP_PORT}}},
        "mysql_replica": {"mariadb": {"backup": where}},
        "pypi_server": {"devpi": {**upstream, "proxy": f"http://{proxy}:{PROXY_PORT}"}},
        "repos": {
            "repos": {
                "source": f"s3://{clients.BUILDS}",
                "store": where,
            }
        },
        "redirects": {"acme": {"dns": dns}},
        "wiki": {"mediawiki": {"archive": where}},
    }


@functools.cache
def machine_index():
    """Return (index, proxy): the package index and the proxy that this machine's pip is told to use, "" for neither."""
    # pip itself reads all the files and variables that may say so.
    listed = shell.run([sys.executable, "-m", "pip", "config", "list"], what="pip config list", check=False).stdout
    said = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    values = {key.rsplit(".", 1)[1]: value.strip("'\"") for key, value in said.items()}
    proxies = (os.environ.get(name, "") for name in ("HTTPS_PROXY", "https_proxy"))
    return values.get("index-url", ""), values.get("proxy") or next(filter(None, proxies), "")


def web_authority(directory=WEB_CA):
    """
    Return the lab's public web CA (insync_ca.Pair); made once for a machine. Every image trusts it.

    directory (pathlib.Path): where it is kept.
    """
    return _kept(directory, "ca", lambda found: True, lambda: insync_ca.make_authority("Insync lab web CA", 3650))


def configure(settings, progress, directory=WEB_CA):
    """
    Bring the services of insync-cloud in step with lab.yaml; one whose files are as they should be is not restarted.

    settings (Settings): the inventory and lab.yaml.
    progress (Progress): told what is restarted.
    directory (pathlib.Path): where the web CA and its certificates are kept.
    """
    wanted = files(settings, directory)
    there = _sums([file.path for file in wanted])
    changed = [file for file in wanted if there.get(file.path) != hashlib.sha256(file.text.encode()).hexdigest()]
    for file in changed:
        podman.write("cloud", file.path, file.text, mode=file.mode)
    stale = {file.unit for file in changed} | _inactive({s3.UNIT, *(file.unit for file in wanted)})
    if stale:
        progress.say(f"cloud: {', '.join(sorted(stale))}")
        podman.execute("cloud", "systemctl", "--quiet", "enable", *sorted(stale))
        podman.execute("cloud", "systemctl", "restart", *sorted(stale))
    trust_acme(settings)
    with podman.network("cloud"):
        made = s3.prepare(s3.client(), settings.lab["buckets"], settings.inventory["hosts"])
    if made:
        progress.say(f"cloud: S3 has {', '.join(made)}")


def files(settings, directory=WEB_CA):
    """Return the list of File that the cloud's services need; arguments as for ``configure``."""
    lab = settings.lab
    acme, smtp, _, store = names(lab)
    others = names(lab) | dict.fromkeys(s3.public_names(lab), lab["cloud"]["public"])
    zones = _wildcard_zones(settings.inventory)
    challenges = [(f"_acme-challenge.{zone}", f"127.0.0.1#{UPDATES_PORT}") for zone in zones]
    records = network.dns_config(settings.inventory, others, challenges)
    found = [
        File("/etc/dnsmasq.d/fleet.conf", records, "dnsmasq.service"),
        File("/etc/pebble/config.json", _pebble_config(), "pebble.service"),
        File("/etc/smtp-sink/password", _smtp_password(), "smtp-sink.service", "0600"),
        File("/etc/tinyproxy/tinyproxy.conf", _proxy_config(settings.subnets["public"]), "tinyproxy.service"),
        File("/etc/nginx/nginx.conf", s3.nginx_config(lab), "nginx.service"),
        File("/etc/acme-dns/named.conf", _updates_config(zones), "acme-dns.service", "0600"),
        *(File(f"/etc/acme-dns/{zone}.zone", _ZONE, "acme-dns.service") for zone in zones),
    ]
    served = {"pebble": [acme], "smtp-sink": [smtp], "nginx": [store, *s3.public_names(lab)]}
    for service, called in served.items():
        pair = _server_pair(called, directory)
        found.append(File(f"/etc/{service}/certificate.pem", pair.certificate, f"{service}.service"))
        found.append(File(f"/etc/{service}/key.pem", pair.key, f"{service}.service", "0600"))
    return found


def trust_acme(settings):
    """
    Make the fleet's clients trust the root of the ACME authority, which is another one each time that pebble starts.

    The clients are insync-world, the master, who looks for itself at what is released, and CI, which reads
    repositories.

    settings (Settings): the inventory and lab.yaml.
    Raises LabError if pebble does not tell it.
    """
    acme = next(iter(names(settings.lab)))
    url = f"https://{acme}:{ACME_MANAGEMENT_PORT}/roots/0"
    wait = ["--retry", "20", "--retry-connrefused", "--retry-delay", "1", "--max-time", "30"]
    command = ["curl", "-sS", "--fail", *wait, "--resolve", f"{acme}:{ACME_MANAGEMENT_PORT}:127.0.0.1", url]
    root = podman.execute("cloud", *command, what="cloud: pebble's root certificate").stdout
    try:
        path = f"/usr/local/share/ca-certificates/pebble-{insync_ca.fingerprint(root)[:16]}.crt"
    except insync_ca.CaError as exc:
        raise LabError(f"cloud: pebble's root certificate {exc}; 'systemctl status pebble' there") from exc
    readers = [host for role in READERS for host in insync_inventory.hosts_with(settings.inventory, role)]
    for box in ("world", settings.master, *readers):
        # It is another number if there is no such container.
        if podman.execute(box, "test", "-e", path, check=False).returncode == 1:
            podman.write(box, path, root)
            podman.execute(box, "update-ca-certificates")


def _pebble_config():
    credentials = "/run/credentials/pebble.service"
    config = {
        "listenAddress": f"0.0.0.0:{ACME_PORT}",
        "managementListenAddress": f"127.0.0.1:{ACME_MANAGEMENT_PORT}",
        "certificate": f"{credentials}/certificate",
        "privateKey": f"{credentials}/key",
        "httpPort": 80,
        "tlsPort": 443,
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": ACME_DAYS * 24 * 3600,
    }
    return json.dumps({"pebble": config}, indent=2) + "\n"


def _smtp_password():
    return _fake("conf_server", "smtp_password")


def _fake(role, key):
    return yaml.safe_load((LAB / "fake_secrets.yaml").read_text(encoding="utf-8"))[role][key]


def _wildcard_zones(inventory):
    names = [redirect["name"] for redirect in inventory["zones"]["redirects"]]
    return sorted(name[2:] for name in names if name.startswith("*."))


# Of each zone that the CA asks about it has nothing but what certbot puts there.
_ZONE = """\
$TTL 60
@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 1
@ NS ns.invalid.
"""
_UPDATES = """\
# Made by the lab: a name server that takes signed updates (RFC 2136), as a provider's does.
options {
    directory "/run/acme-dns";
    pid-file none;
    session-keyfile none;
    listen-on port %(port)s { any; };
    listen-on-v6 { none; };
    recursion no;
    allow-transfer { none; };
    dnssec-validation no;
};
controls { };
key "%(key)s" { algorithm %(algorithm)s; secret "%(secret)s"; };
"""
_UPDATES_ZONE = """\
zone "%(zone)s" {
    type primary;
    file "/run/acme-dns/%(zone)s.zone";
    update-policy { grant %(key)s name _acme-challenge.%(zone)s. TXT; };
};
"""


def _updates_config(zones):
    facts = {"port": UPDATES_PORT, "key": UPDATES_KEY, "algorithm": UPDATES_ALGORITHM}
    facts["secret"] = _fake("redirects", "dns_credential")
    return _UPDATES % facts + "".join(_UPDATES_ZONE % {**facts, "zone": zone} for zone in zones)


def _proxy_config(subnet):
    index, proxy = machine_index()
    port = urllib.parse.urlsplit(index).port or 443
    lines = ["# Made by the lab: the fleet's way to the package index.", "User tinyproxy", "Group tinyproxy"]
    lines += [f"Port {PROXY_PORT}", "Timeout 600", "MaxClients 100", f"Allow {subnet}", f"ConnectPort {port}"]
    lines += ["Syslog On", "LogLevel Connect", 'PidFile "/run/tinyproxy/tinyproxy.pid"']
    lines += [f"Upstream http {urllib.parse.urlsplit(proxy).netloc}"] if proxy else []
    return "\n".join(lines) + "\n"


def _server_pair(called, directory):
    """Return the pair for the names ``called``, the first of which it is kept under."""

    def good(found):
        facts = insync_ca.read(found.certificate)
        left = facts.not_after - datetime.datetime.now(datetime.UTC)
        same = set(facts.names) == set(called)
        return same and insync_ca.issued_by(found.certificate, authority.certificate) and left.days >= RENEW_DAYS

    authority = web_authority(directory)
    return _kept(directory, called[0], good, lambda: insync_ca.issue(authority, called, [], DAYS))


def _kept(directory, name, good, make):
    """Return the pair that is kept under ``name`` if it is good, else what ``make`` makes."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    if certificate.exists():
        found = insync_ca.Pair(certificate.read_text(encoding="ascii"), key.read_text(encoding="ascii"))
        if good(found):
            return found
    pair = make()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_text(pair.key, encoding="ascii")
    certificate.write_text(pair.certificate, encoding="ascii")
    return pair


def _sums(paths):
    """Return {path: SHA-256} of those of ``paths`` that are in the cloud."""
    listed = podman.execute("cloud", "sha256sum", *paths, check=False).stdout.splitlines()
    return {path: number for number, path in (line.split(maxsplit=1) for line in listed)}


def _inactive(units):
    """Return those of ``units`` (set of str) that do not run."""
    asked = sorted(units)
    states = podman.execute("cloud", "systemctl", "is-active", *asked, check=False).stdout.split()
    return {unit for unit, state in zip(asked, states, strict=True) if state != "active"}
