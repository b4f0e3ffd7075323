"""Who can enter a server, and who did."""

import base64
import binascii
import hashlib
import os
import re
import struct
import time

import insync_survey_system

# struct utmp of Linux: type, pid, line, id, user, host, exit, session, seconds, microseconds, address.
_RECORD = struct.Struct("<h2xi32s4s32s256s4xiii16x20x")
_USER_PROCESS = 7
_NO_SHELL = ("/nologin", "/false", "/sync")
LOGINS = 20
# Nothing else: in front of it stands whatever the key may do.
_KIND = r"(?:sk-)?(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3})(?:-cert-v01)?(?:@openssh\.com)?"


def users(system):
    """Return the users of ``system`` who can log in: a list of dict: user, uid, shell, by."""
    rows = (line.split(":") for line in system.text("/etc/passwd").splitlines() if line.count(":") == 6)
    able = [row for row in rows if row[6] and not row[6].endswith(_NO_SHELL)]
    return [{"user": row[0], "uid": int(row[2]), "shell": row[6], "by": _by(system, row)} for row in able]


def _by(system, row):
    if row[0] in system.plan.get("users", ()):
        return "salt"
    # Below 1000 are those of packages; another root is nobody's.
    return "package" if row[0] == "root" or 0 < int(row[2]) < 1000 else ""


def keys(system):
    """Return the keys that open accounts: a list of dict: user, path, keys (kind and fingerprint), by."""
    found = []
    for row in (line.split(":") for line in system.text("/etc/passwd").splitlines()):
        for name in system.glob(f"{row[5]}/.ssh/authorized_keys*") if len(row) == 7 and row[5] != "/" else ():
            shown = [key for line in system.text(name).splitlines() if (key := _key(line))]
            if shown:
                found.append({"user": row[0], "path": name, "keys": shown, "by": system.by(name)})
    return found


def _key(line):
    match = re.search(rf"(?:^|\s)({_KIND})\s+([A-Za-z0-9+/=]{{16,}})", line)
    if not match or line.lstrip().startswith("#"):
        return ""
    try:
        digest = hashlib.sha256(base64.b64decode(match[2])).digest()
    except binascii.Error:
        return f"{match[1]} broken"
    return f"{match[1]} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def logins(system):
    """Return who entered ``system`` last, one row for each user and origin: a list of dict: user, when, origin."""
    data, last = _newest(system.path("/var/log/wtmp")), {}
    for record in _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size]):
        kind, user, host, seconds = record[0], record[4], record[5], record[7]
        if kind == _USER_PROCESS:
            last[_text(user), _text(host)] = seconds
    newest = sorted(last.items(), key=lambda item: -item[1])[:LOGINS]
    when = "%Y-%m-%d %H:%M"
    return [{"user": user, "when": time.strftime(when, time.gmtime(at)), "origin": host} for (user, host), at in newest]


def _newest(path):
    """The last records of ``path``, each whole."""
    try:
        with insync_survey_system.opened(path) as file:
            size = os.fstat(file.fileno()).st_size // _RECORD.size
            file.seek(max(size - 5000, 0) * _RECORD.size)
            return file.read(min(size, 5000) * _RECORD.size)
    except FileNotFoundError:
        return b""


def _text(raw):
    return raw.split(b"\0")[0].decode(errors="replace")
