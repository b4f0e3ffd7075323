"""The web sites and certificates on a server, served or not."""

import re
import ssl
import time

import insync_survey_mask

_FILES = {
    "nginx": ("/etc/nginx/*.conf", "/etc/nginx/conf.d/*", "/etc/nginx/sites-enabled/*"),
    "apache": ("/etc/apache2/sites-enabled/*", "/etc/apache2/conf-enabled/*", "/etc/httpd/conf.d/*.conf"),
}
_SITES = {
    "nginx": re.compile(r"(?<![\w$-])server\s*\{(.*?)(?=(?<![\w$-])server\s*\{|\Z)", re.DOTALL),
    "apache": re.compile(r"<VirtualHost\s[^>]*>(.*?)</VirtualHost>", re.DOTALL | re.IGNORECASE),
}
# A statement of nginx begins where another one ends, of Apache with its line.
_BEGIN = r"(?:^|(?<=[;{}]))\s*"
_NAMES = re.compile(rf"(?:{_BEGIN}server_name|^\s*ServerName|^\s*ServerAlias)\s+([^;#\n]+)", re.MULTILINE)
_LISTEN = re.compile(rf"{_BEGIN}listen\s+([^;#\n]+)|<VirtualHost\s+([^>]+)>", re.MULTILINE)
_ROOT = re.compile(rf"""(?:{_BEGIN}root|^\s*DocumentRoot)\s+"?([^;#\s"]+)""", re.MULTILINE)
_UPSTREAM = re.compile(r"(?:proxy_pass|ProxyPass\s+\S+)\s+([^;#\s]+)")
_QUOTED_OR_COMMENT = re.compile(r"""(?<![^\s;{}])(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|#[^\n]*)""", re.DOTALL)
_NAME = re.compile(r"[\w.*~^$\\-]{1,120}")
_CERTIFICATES = (
    "/etc/letsencrypt/live/*/cert.pem",
    "/etc/insync/*.crt",
    "/etc/insync/certificates/*.pem",
    *(
        f"/etc/{place}/*.{end}"
        for place in ("ssl", "nginx", "nginx/ssl", "apache2", "haproxy")
        for end in ("crt", "pem")
    ),
)


def sites(system):
    """
    Return the web sites that files of ``system`` describe.

    A list of dict: server (nginx, apache), path, names, listen, root, upstream (scheme and host), by.
    """
    found = []
    for server, patterns in _FILES.items():
        for name in dict.fromkeys(name for pattern in patterns for name in system.glob(pattern)):
            path = system.path(name)
            if path.is_file():
                by = system.by(name) or _linked(system, path)
                text = _PLAIN[server](system.text(name))
                found += [_site(server, name, match[0], by) for match in _SITES[server].finditer(text)]
    return found


def _plain(text):
    """``text`` of nginx without comments, and without statements that are only quoted."""
    return _QUOTED_OR_COMMENT.sub(lambda one: "" if one[0][0] == "#" else re.sub(r"[;{}#\n]", "?", one[0]), text)


_PLAIN = {"nginx": _plain, "apache": lambda text: re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)}


def _linked(system, path):
    """By whom it is what a link leads to, such as Debian's default site."""
    if not path.is_symlink():
        return ""
    target = path.resolve()
    return system.by(system.name(target)) if target.is_relative_to(system.root) else ""


def _site(server, name, text, by):
    words = [word for match in _NAMES.findall(text) for word in match.split()]
    listen = [(one or other).split()[0] for one, other in _LISTEN.findall(text)]
    return {
        "server": server,
        "path": name,
        "names": [word for word in words if _NAME.fullmatch(word)],
        "listen": [one for one in listen if re.fullmatch(r"[\w.:*\[\]/-]{1,80}", one)],
        "root": next(iter(_ROOT.findall(text)), ""),
        "upstream": sorted({insync_survey_mask.url(one) for one in _UPSTREAM.findall(text)}),
        "by": by,
    }


def certificates(system):
    """
    Return the certificates in the usual places of ``system``: a list of dict: path, names, until (date), days (left).

    Their keys are not read, unless one stands in the same file: of that, too, only the certificate is.
    """
    names = dict.fromkeys(name for pattern in _CERTIFICATES for name in system.glob(pattern))
    return [row for row in (_certificate(system, name) for name in names) if row]


def _certificate(system, name):
    if not system.path(name).is_file():
        return None
    try:
        # There is no other way in the standard library to read one that nobody has shown to us.
        told = ssl._ssl._test_decode_cert(str(system.path(name)))
        until = ssl.cert_time_to_seconds(told["notAfter"])
    except (OSError, ValueError, KeyError):
        return None
    return {
        "path": name,
        "names": [value for kind, value in told.get("subjectAltName", ()) if kind == "DNS"],
        "until": time.strftime("%Y-%m-%d", time.gmtime(until)),
        "days": int((until - time.time()) // 86400),
    }
