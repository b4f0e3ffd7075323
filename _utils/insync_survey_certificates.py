"""The certificates on a server: those that its web servers name, and those that lie with configuration or data."""

import base64
import os
import pathlib
import re
import ssl
import time

import insync_survey_system
import insync_survey_web

_NAMED = {
    "nginx": re.compile(rf"{insync_survey_web.BEGIN}ssl_certificate\s+([^;\n]+)", re.MULTILINE),
    "apache": re.compile(r"^\s*SSLCertificateFile\s+(.+)$", re.MULTILINE | re.IGNORECASE),
}
_PATH = re.compile(r"[\w./@+-]{1,200}")
_ENDS = (".cer", ".cert", ".crt", ".pem")
# A chain and its key need less; what is larger is a bundle of everybody's authorities.
_LARGE = 64_000
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----\s(.+?)-----END CERTIFICATE-----", re.DOTALL)
_DER = b"\x30\x82"
# What programs bring along, to be tried with.
_BROUGHT = re.compile(r"/(dist-packages|site-packages|node_modules|vendor|lib/python[\d.]+/test)/")
_LINEAGE = "/etc/letsencrypt/live"
# Of these certbot shows the newest one in the folder above; a package's installation makes the others.
_PASSED_OVER = (
    "/etc/letsencrypt/archive/",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ssl-cert-snakeoil.pem",
)


def certificates(system, files):
    """
    Return the certificates on ``system``, but for those of packages.

    A list of dict: path, names, until (date), days (left), by.
    files (list of (str, int)): every file where data may be, with its size. Of a key that stands in the same file
    nothing is told.
    """
    named = {name: server for server in _NAMED for name in _named(system, server)}
    lying = [system.name(pathlib.Path(entry.path)) for entry in system.walk(["/etc"]) if entry.name.endswith(_ENDS)]
    lying += [name for name, _ in files if name.endswith(_ENDS) and not _BROUGHT.search(name)]
    names = {_place(system, name): name for name in (*lying, *named) if not name.startswith(_PASSED_OVER)}
    rows = []
    for place, name in names.items():
        by = system.kept_by(place) or system.kept_by(name)
        row = None if by.startswith("package ") else _certificate(system, place)
        if row:
            rows.append({**row, "by": by})
        elif name in named and not by:
            system.cut_short.append(f"certificates of {named[name]}: {name} is named, and cannot be read as one")
    return sorted(rows, key=lambda row: row["path"])


def _named(system, server):
    """The files that ``server`` is told to serve; what cannot be found by that is told."""
    homes = insync_survey_web.homes(system, server)
    for _, text in insync_survey_web.texts(system, server):
        for told in _NAMED[server].findall(text):
            word = told.strip().strip("\"'")
            if not _PATH.fullmatch(word):
                system.cut_short.append(f"certificates of {server}: one whose name cannot be followed")
                continue
            names = [os.path.normpath(os.path.join(home, word)) for home in homes]
            there = [name for name in dict.fromkeys(names) if system.path(name).is_file()]
            if not there:
                system.cut_short.append(f"certificates of {server}: {word} is named, and not there")
            yield from there


def _place(system, name):
    """Where it really lies, so that one of several names is told once; of certbot's that is another file each time."""
    folder = name.rsplit("/", 1)[0]
    if folder.startswith(f"{_LINEAGE}/"):
        return f"{folder}/cert.pem"
    target = pathlib.Path(os.path.realpath(system.path(name)))
    return system.name(target) if target.is_relative_to(os.path.realpath(system.root)) else name


def _certificate(system, name):
    try:
        with insync_survey_system.opened(system.path(name)) as file:
            told = _decoded(file.read(_LARGE + 1))
        until = ssl.cert_time_to_seconds(told["notAfter"])
    except (OSError, ValueError, KeyError):
        return None
    names = [value for kind, value in told.get("subjectAltName", ()) if kind == "DNS"]
    own = [value for part in told.get("subject", ()) for kind, value in part if kind == "commonName"]
    return {
        "path": name,
        "names": names or own,
        "until": time.strftime("%Y-%m-%d", time.gmtime(until)),
        "days": int((until - time.time()) // 86400),
    }


def _decoded(data):
    """What the first certificate in ``data`` says; of what is encrypted nobody is asked for a password."""
    block = _BLOCK.search(data)
    if len(data) > _LARGE or not (block or data.startswith(_DER)):
        raise ValueError("no certificate")
    # There is no other way in the standard library to read one that nobody has shown to us.
    with open(os.memfd_create("certificate"), "w+", encoding="ascii") as file:
        file.write(ssl.DER_cert_to_PEM_cert(base64.b64decode(block[1]) if block else data))
        file.flush()
        return ssl._ssl._test_decode_cert(f"/proc/self/fd/{file.fileno()}")
