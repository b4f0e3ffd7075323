"""Which certificates the servers show, how long each is good for, and what is wrong with it."""

import concurrent.futures
import contextlib
import datetime
import re
import select
import socket
import ssl
import struct

import insync_ca
import insync_tls
from cryptography import x509
from cryptography.x509.oid import NameOID

# A public one is renewed when it has 30 days left: with fewer than these its timer has failed for more than a week. One
# that lives for less than 90 days may have as much less.
WARN, _LIFETIME = 21, datetime.timedelta(days=90)
# How long a server may take to answer, and to say the first word if it is one that does.
_SECONDS, _FIRST_WORD_SECONDS = 10, 0.5
_AT_ONCE = 8
_LAST_LINE = re.compile(rb"^\d{3}(?: [^\n]*)?\r?\n\Z", re.MULTILINE)
_LONGEST_REPLY = 65536
# MariaDB's protocol: the request of a client (PROTOCOL_41, SECURE_CONNECTION) for TLS (SSL).
_MYSQL_REQUEST = struct.pack("<IIB23x", 0x200 | 0x800 | 0x8000, 1 << 24, 45)


def shown(wanted, authority):
    """
    Ask servers for their certificates, as their clients do; return a list of dict.

    wanted (list of dict): as insync_inventory.certificates returns it.
    authority (str): the fleet's own CA, as PEM.
    Each is what was asked for, and: issuer (str), names (list of str), begins and expires (str), self_signed, fleet
    (whether the fleet's own CA has issued it); or error (str) if there is no certificate to be had.
    """
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda one: {**one, **_facts(one, authority)}, wanted))


def _facts(wanted, authority):
    name = wanted["name"]
    # Of the names below a wildcard any will do.
    asked = f"www{name[1:]}" if name.startswith("*.") else name
    try:
        try:
            found = _certificate(wanted["address"], wanted["port"], asked, _FIRST_WORD_SECONDS)
        except ssl.SSLError as exc:
            if exc.reason != "WRONG_VERSION_NUMBER":
                raise
            # Its first word, which is no TLS, came late.
            found = _certificate(wanted["address"], wanted["port"], asked, _SECONDS)
    except (OSError, ValueError) as exc:
        return {"error": f"missing: {getattr(exc, 'reason', None) or getattr(exc, 'strerror', None) or exc}"}
    return describe(found, authority)


def describe(pem, authority):
    """Return issuer, names, begins, expires, self_signed and fleet; see ``shown``. Both arguments are PEM (str)."""
    certificate, facts = x509.load_pem_x509_certificate(pem.encode()), insync_ca.read(pem)
    fleet = False
    with contextlib.suppress(insync_ca.CaError):
        fleet = insync_ca.issued_by(pem, authority)
    return {
        "issuer": _name(certificate.issuer),
        "names": list(facts.names),
        "begins": certificate.not_valid_before_utc.isoformat(),
        "expires": facts.not_after.isoformat(),
        "self_signed": certificate.issuer == certificate.subject,
        "fleet": fleet,
    }


def _name(issuer):
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        found = issuer.get_attributes_for_oid(kind)
        if found:
            return str(found[0].value)
    return issuer.rfc4514_string()


def _certificate(address, port, name, patience):
    """The certificate (PEM) that is shown to who asks for ``name``, whoever has signed it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, port), _SECONDS) as plain:
        _start_tls(plain, patience)
        with context.wrap_socket(plain, server_hostname=name) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True))


def _start_tls(plain, patience):
    """Bring who speaks first, and in the clear (a mail relay, MariaDB), to where TLS begins; others begin with it."""
    if not select.select([plain], [], [], patience)[0]:
        return
    greeting = plain.recv(4096)
    if not greeting.startswith(b"220"):
        plain.sendall(struct.pack("<I", len(_MYSQL_REQUEST) | 1 << 24) + _MYSQL_REQUEST)
        return
    _read_reply(plain, greeting)
    for line in (b"EHLO insync.invalid\r\n", b"STARTTLS\r\n"):
        plain.sendall(line)
        _read_reply(plain)


def _read_reply(plain, said=b""):
    """Read a reply of SMTP to its end: several lines, in as many packets as the server likes (RFC 5321, 4.2.1)."""
    while not _LAST_LINE.search(said):
        more = plain.recv(4096)
        if not more or len(said) > _LONGEST_REPLY:
            raise OSError("no reply of SMTP")
        said += more


def rows(expected, answers, now):
    """
    Return what is shown as a table, a dict for each certificate: server, name, service, issuer, expires, days, problem.

    expected (list of dict): as insync_inventory.certificates returns it.
    answers (dict): server -> what ``shown`` returned there; anything else is why it did not.
    now (datetime.datetime): with a time zone.
    """
    return [_row(one, _found(one, answers.get(one["by"])), now) for one in expected]


def authority_row(pem, now):
    """Return the row of the fleet's own CA (PEM, str) itself."""
    found = describe(pem, pem)
    return {
        "server": "all",
        "name": "the fleet's own CA",
        "service": "",
        "issuer": found["issuer"],
        "expires": found["expires"][:10],
        "days": _left(found, now).days,
        "problem": _age(_left(found, now), datetime.timedelta(days=insync_tls.WARN)),
    }


def _row(wanted, found, now):
    told = "expires" in found
    return {
        "server": wanted["server"],
        "name": wanted["name"],
        "service": wanted["service"],
        "issuer": found["issuer"] if told else "",
        "expires": found["expires"][:10] if told else "",
        "days": _left(found, now).days if told else "",
        "problem": _problem(wanted, found, now) if told else found["error"],
    }


def _found(wanted, answer):
    if not isinstance(answer, list):
        said = " ".join(str(answer or "does not answer").split())[:200]
        return {"error": f"not known: {wanted['by']}: {said}"}
    same = [one for one in answer if all(one.get(key) == wanted[key] for key in ("server", "service", "name"))]
    return same[0] if same else {"error": f"not known: {wanted['by']} has not looked"}


def _problem(wanted, found, now):
    private = wanted["network"] == "private"
    if found["self_signed"]:
        return "self-signed"
    if private is not found["fleet"]:
        return "not from the fleet's own CA" if private else "from the fleet's own CA"
    if not _covers(found["names"], wanted["name"]):
        return "has not this name"
    return _age(_left(found, now), datetime.timedelta(days=insync_tls.WARN) if private else _warn(found))


def _covers(names, name):
    return name in names or f"*.{name.partition('.')[2]}" in names


def _warn(found):
    # A server that has not heard of a deploy yet tells no beginning.
    begins = found.get("begins", datetime.datetime.min.replace(tzinfo=datetime.UTC).isoformat())
    lifetime = datetime.datetime.fromisoformat(found["expires"]) - datetime.datetime.fromisoformat(begins)
    return min(lifetime / _LIFETIME, 1) * datetime.timedelta(days=WARN)


def _age(left, warn):
    if left < datetime.timedelta():
        return "expired"
    return "expires soon" if left < warn else ""


def _left(found, now):
    return datetime.datetime.fromisoformat(found["expires"]) - now
