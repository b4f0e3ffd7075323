"""A small certificate authority: makes itself, and certificates for servers; texts in, texts out (PEM)."""

import dataclasses
import datetime
import ipaddress

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Who receives a certificate may have a clock that is behind.
SKEW = datetime.timedelta(hours=1)


class CaError(ValueError):
    """This is no certificate or key, or the authority cannot issue what is asked for."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its private key; the key is not shown."""

    certificate: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a certificate says: DNS names and IP addresses, sorted, and the end of its validity (UTC)."""

    names: tuple
    addresses: tuple
    not_after: datetime.datetime


def make_authority(name, days, now=None):
    """
    Return a new authority as a Pair.

    name (str): how it is called in its certificate.
    days (int): how long it is valid.
    now (datetime.datetime): the beginning of its validity; the present if left out.
    """
    now, key = now or _now(), ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    usage = _usage("key_cert_sign", "crl_sign", "digital_signature")
    builder = _builder(subject, subject, key.public_key(), now, now + datetime.timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority, names, addresses, days, now=None):
    """
    Return a new server certificate of ``authority`` as a Pair.

    authority (Pair): who signs.
    names (list of str): the DNS names; the first one is the subject.
    addresses (list of str): the IP addresses.
    days (int): how long it is valid, at most until the authority is no longer.
    now (datetime.datetime): the beginning of its validity; the present if left out.
    Raises CaError if there is no name, an address is none, or the authority is no longer valid.
    """
    now, issuer, key = now or _now(), _certificate(authority.certificate), ec.generate_private_key(ec.SECP256R1())
    if not names:
        raise CaError("a certificate needs a name")
    if _not_after(issuer) <= now:
        raise CaError(f"the authority has expired on {_not_after(issuer):%Y-%m-%d}")
    until = min(now + datetime.timedelta(days=days), _not_after(issuer))
    builder = _builder(_name(names[0]), issuer.subject, key.public_key(), now, until)
    builder = builder.add_extension(_alternatives(names, addresses), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    source = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    builder = builder.add_extension(source, critical=False)
    return _pair(builder.sign(_key(authority.key), hashes.SHA256()), key)


def read(text):
    """Return the Facts of a certificate; raises CaError if ``text`` (str) is none."""
    certificate = _certificate(text)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    names = found.get_values_for_type(x509.DNSName)
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return Facts(tuple(sorted(names)), tuple(sorted(addresses)), _not_after(certificate))


def issued_by(text, authority):
    """Return whether the certificate ``text`` is signed by that of ``authority`` (both str); raises like ``read``."""
    certificate, issuer = _certificate(text), _certificate(authority)
    algorithm = ec.ECDSA(certificate.signature_hash_algorithm)
    try:
        issuer.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes, algorithm)
    except (InvalidSignature, TypeError):
        return False
    return certificate.issuer == issuer.subject


def fingerprint(text):
    """Return the SHA-256 fingerprint of the certificate ``text`` (str) as hex digits; raises as ``read`` does."""
    return _certificate(text).fingerprint(hashes.SHA256()).hex()


def _builder(subject, issuer, public_key, now, until):
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW).not_valid_after(until)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternatives(names, addresses):
    try:
        entries = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    except ValueError as exc:
        raise CaError(str(exc)) from exc
    return x509.SubjectAlternativeName([*map(x509.DNSName, names), *entries])


def _usage(*wanted):
    known = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in wanted for name in known})


def _pair(certificate, key):
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(pem).decode(), secret.decode())


def _certificate(text):
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as exc:
        raise CaError("is no certificate in PEM format") from exc


def _key(text):
    try:
        return serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError) as exc:
        raise CaError("is no private key in PEM format") from exc


def _not_after(certificate):
    # Debian 12's own python3-cryptography knows only the second one.
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=datetime.UTC)


def _now():
    return datetime.datetime.now(datetime.UTC)
