"""Who can enter a server, and who did."""

import base64
import binascii
import glob
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
# What packages do when they are installed, and how they say that this is a user.
_MAKERS = ("/var/lib/dpkg/info/*.postinst", "/var/lib/dpkg/info/*.preinst", "/usr/lib/sysusers.d/*.conf")
_MAKES = re.compile(r"adduser|useradd|systemd-sysusers|^u!?\s", re.MULTILINE)
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
    # Another root is nobody's.
    is_packages = row[0] == "root" or (0 < int(row[2]) < 1000 and _is_made(system, row[0]))
    return "package" if is_packages else ""


def _is_made(system, user):
    """Whether a package makes ``user``: Debian's own, or one that something installed by a package names."""
    if any(line.startswith(f"{user}:") for line in system.text("/usr/share/base-passwd/passwd.master").splitlines()):
        return True
    names = [name for place in _MAKERS for name in system.glob(place)]
    word = re.compile(rf"(?<![\w-]){re.escape(user)}(?![\w-])")
    return any(_MAKES.search(text) and word.search(text) for text in map(system.text, names))


def keys(system):
    """Return the keys that open accounts: a list of dict: user, path, keys (kind and fingerprint), by."""
    found = []
    for user, home in system.accounts():
        place = f"{home.rstrip('/')}/.ssh"
        for name in system.glob(f"{glob.escape(place)}/authorized_keys*") if system.is_near(place) else ():
            shown = [key for line in system.text(name).splitlines() if (key := _key(line))]
            if shown:
                found.append({"user": user, "path": name, "keys": shown, "by": system.by(name)})
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
