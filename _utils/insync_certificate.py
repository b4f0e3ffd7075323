"""Certificates of public names: made until a CA issues one, and when to ask the CA for another."""

import datetime
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# As certbot's own timer has it. One that lives for less than 90 days is good until a third of its time is left.
RENEW_DAYS = 30
_SELF_SIGNED_DAYS = 3650
# The files of a certificate, as certbot names them.
KINDS = ("cert", "privkey", "chain", "fullchain")
# What certbot's plugins have as the default: a renewal notes no option that is like it.
_PLUGINS_DEFAULTS = {"dns-digitalocean-propagation-seconds": "10", "dns-rfc2136-propagation-seconds": "60"}
# Lines of certbot that say nothing about what went wrong.
_NOISE = re.compile(
    r"Saving debug log|Ask for help|See the logfile|An unexpected error occurred|Requesting a certificate"
    r"|Renewing an existing|Account registered|Some challenges have failed|^\s*$|^- - -|^\s*Hint:"
)
# What a Python exception's line begins with, and the reason in the middle of one of urllib3's.
_EXCEPTION = re.compile(r"^[\w.]+: ")
# The CA's own words in certbot's log: what kind of error it is, and more of it.
_REFUSAL = re.compile(r"^acme\.messages\.Error: urn:ietf:params:acme:error:(\w+) :: (.+)$", re.MULTILINE)
_CAUSE = re.compile(r"\(Caused by .*'(?:<[^>]*>: )?([^']+)'\)+$")


def self_signed(names, now):
    """
    Return a new key and a certificate for it that nobody has signed but the key itself, as one PEM (bytes).

    names (list of str): the DNS names. now (datetime.datetime): the beginning, with a time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private


def complete(pem):
    """Whether ``pem`` (bytes) has a certificate, its chain may follow, and the certificate's key: a server takes it."""
    try:
        certificate, *_ = x509.load_pem_x509_certificates(pem)
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return key.public_key() == certificate.public_key()


def why_order(pem, names, now):
    """
    Return why the CA has to be asked for a certificate (str), or "" while the current one is good.

    pem (bytes): the current certificate, its chain may follow; empty if there is none.
    names (list of str): the DNS names that it has to have, and no others: the CA asks every name at each renewal, and
        one that has left leads elsewhere. now (datetime.datetime): with a time zone.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return "there is none" if not pem else "the current one cannot be read"
    if certificate.issuer == certificate.subject:
        return "the current one is self-signed"
    found, wanted = _names(certificate), set(names)
    differences = {"lacks": sorted(wanted - found), "still has": sorted(found - wanted)}
    told = [f"{verb} {', '.join(names)}" for verb, names in differences.items() if names]
    if told:
        return f"the current one {' and '.join(told)}"
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if until - now < min(datetime.timedelta(days=RENEW_DAYS), (until - since) / 3):
        return f"the current one expires on {until:%Y-%m-%d}"
    return ""


def way(port=None, dns=None):
    """
    Return how the CA is shown that the names are ours, as certbot's options: {option: value}, all str.

    port (int): the CA asks by http, and certbot answers at this port on loopback.
    dns (dict): certbot puts a record into the names' zones: provider, credentials (path), propagation_seconds.
    """
    if not dns:
        return {"authenticator": "standalone", "http-01-address": "127.0.0.1", "http-01-port": str(port)}
    plugin = f"dns-{dns['provider']}"
    options = {"credentials": str(dns["credentials"]), "propagation-seconds": str(dns["propagation_seconds"])}
    return {"authenticator": plugin, **{f"{plugin}-{option}": value for option, value in options.items()}}


def renewal(lineage, archive, account, server, options):
    """
    Return what certbot notes for a renewal (str).

    lineage, archive (pathlib.Path): where the certificate's links are, and what they lead to. account (str): at the CA.
    server (str): the URL of the CA's directory. options (dict): as ``way`` returns it.
    """
    files = {"archive_dir": archive, **{kind: lineage / f"{kind}.pem" for kind in KINDS}}
    return with_options(
        "\n".join(f"{name} = {path}" for name, path in files.items())
        + f"\n\n[renewalparams]\naccount = {account}\nkey_type = ecdsa\nserver = {server}\n",
        options,
    )


def noted(renewal):
    """
    Return what certbot has noted for a renewal (dict of str), {} if that is not whole, as after a power cut.

    renewal (str): the file.
    """
    lines = [line.strip() for line in renewal.splitlines()]
    settings = [line.partition("=") for line in lines if line and not line.startswith(("#", "["))]
    found = {name.strip(): value.strip() for name, _, value in settings}
    whole = "[renewalparams]" in lines and {*KINDS, "server"} <= found.keys()
    return found if whole and all(equals for _, equals, _ in settings) else {}


def why_not_renewed(renewal, server, options):
    """
    Return why only an order leads to renewals as they are declared (str), or "".

    renewal (str): what certbot has noted for its renewal. server (str): the URL of the CA's directory.
    options (dict): as ``way`` returns it.
    """
    found = noted(renewal)
    if not found:
        return "it is not noted how the current one would be renewed"
    if found["server"] != server:
        return "the current one is from another CA"
    used, wanted = found.get("authenticator"), options["authenticator"]
    # Whether the other one leads to a certificate, an order shows.
    return f"the current one would be renewed with authenticator {used}, not {wanted}" if used != wanted else ""


def differences(renewal, options):
    """Return the options that certbot has noted otherwise for the renewal: {option: {old, new}}, all str."""
    found = noted(renewal)
    values = {option: found.get(_as_noted(option), _PLUGINS_DEFAULTS.get(option)) for option in options}
    return {option: {"old": values[option], "new": new} for option, new in options.items() if values[option] != new}


def with_options(renewal, options):
    """Return ``renewal`` (str), what certbot has noted, with ``options`` (as ``way`` returns it) instead of its own."""
    new = {_as_noted(option): value for option, value in options.items()}
    lines = [line.strip() for line in renewal.splitlines() if line.partition("=")[0].strip() not in new]
    begin = lines.index("[renewalparams]") + 1
    lines[begin:begin] = [f"{name} = {value}" for name, value in new.items()]
    return "".join(f"{line}\n" for line in lines)


def _as_noted(option):
    """Certbot's names in there: http01_port, dns_rfc2136_credentials."""
    return option.replace("http-01", "http01").replace("-", "_")


def _names(certificate):
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(found.value.get_values_for_type(x509.DNSName))


def refusal(log):
    """Return the CA's last refusal in ``log`` (str), which certbot wrote: (kind, text), ("", "") if there is none."""
    found = _REFUSAL.findall(log)
    return found[-1] if found else ("", "")


def reason(output, log=""):
    """
    Return the line (str) that says what went wrong.

    output (str): what certbot printed. log (str): what it wrote into its log; on Python 3.11 certbot 2.1 fails over a
    refusal of the CA before it has printed it.
    """
    lines = [line.strip() for line in output.splitlines() if not _NOISE.search(line)]
    details = [line.partition(":")[2].strip() for line in lines if line.startswith("Detail:")]
    if details:
        return "; ".join(details)
    _, refused = refusal(log)
    if refused or not lines:
        return refused or "certbot gave no reason"
    cause = _CAUSE.search(lines[-1])
    return cause[1] if cause else _EXCEPTION.sub("", lines[-1])
