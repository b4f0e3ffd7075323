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
    "nginx": re.compile(r"^[ \t]*server\s*\{(.*?)(?=^[ \t]*server\s*\{|\Z)", re.DOTALL | re.MULTILINE),
    "apache": re.compile(r"<VirtualHost\s[^>]*>(.*?)</VirtualHost>", re.DOTALL | re.IGNORECASE),
}
_NAMES = re.compile(r"^\s*(?:server_name|ServerName|ServerAlias)\s+([^;#\n]+)", re.MULTILINE)
_LISTEN = re.compile(r"^\s*listen\s+([^;#\n]+)|<VirtualHost\s+([^>]+)>", re.MULTILINE)
_ROOT = re.compile(r"""^\s*(?:root|DocumentRoot)\s+"?([^;#\s"]+)""", re.MULTILINE)
_UPSTREAM = re.compile(r"(?:proxy_pass|ProxyPass\s+\S+)\s+([^;#\s]+)")
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
                text = re.sub(r"^\s*#.*$", "", system.text(name), flags=re.MULTILINE)
                found += [_site(server, name, match[0], by) for match in _SITES[server].finditer(text)]
    return found


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
