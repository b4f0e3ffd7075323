"""The web sites on a server, served or not."""

import os
import pathlib
import re

import insync_survey_mask
import insync_survey_packages
import insync_survey_web_settings

_FILES = {
    "nginx": (
        "/etc/nginx/*.conf",
        "/etc/nginx/conf.d/*",
        "/etc/nginx/sites-enabled/*",
        "/usr/local/nginx/conf/nginx.conf",
        "/usr/local/openresty/nginx/conf/nginx.conf",
    ),
    "apache": (
        "/etc/apache2/*.conf",
        "/etc/apache2/sites-enabled/*",
        "/etc/apache2/conf-enabled/*",
        "/etc/httpd/conf/*.conf",
        "/etc/httpd/conf.d/*.conf",
    ),
}
# Where a name begins that no slash does.
_HOMES = {
    "nginx": ("/etc/nginx", "/usr/local/nginx/conf", "/usr/local/openresty/nginx/conf"),
    "apache": ("/etc/apache2", "/etc/httpd"),
}
# Of these it is only told that they are there.
_OTHERS = {
    "caddy": ("/etc/caddy/Caddyfile", "/etc/caddy/*.json"),
    "cherokee": ("/etc/cherokee/cherokee.conf",),
    "h2o": ("/etc/h2o/h2o.conf",),
    "haproxy": ("/etc/haproxy/haproxy.cfg",),
    "hiawatha": ("/etc/hiawatha/hiawatha.conf",),
    "jetty": ("/etc/jetty*/start.ini",),
    "lighttpd": ("/etc/lighttpd/lighttpd.conf",),
    "litespeed": ("/usr/local/lsws/conf/httpd_config.*",),
    "thttpd": ("/etc/thttpd/thttpd.conf",),
    "tomcat": ("/etc/tomcat*/server.xml",),
    "traefik": ("/etc/traefik/traefik.*",),
    "varnish": ("/etc/varnish/default.vcl",),
}
FILES = 1000
_SITES = {
    "nginx": re.compile(r"(?<![\w$-])server\s*\{(.*?)(?=(?<![\w$-])server\s*\{|\Z)", re.DOTALL),
    "apache": re.compile(r"<VirtualHost\s[^>]*>(.*?)</VirtualHost>", re.DOTALL | re.IGNORECASE),
}
# A statement of nginx begins where another one ends, of Apache with its line.
BEGIN = r"(?:^|(?<=[;{}]))\s*"
_NAMES = re.compile(rf"(?:{BEGIN}server_name|^\s*ServerName|^\s*ServerAlias)\s+([^;#\n]+)", re.MULTILINE)
_LISTEN = re.compile(rf"{BEGIN}listen\s+([^;#\n]+)|<VirtualHost\s+([^>]+)>", re.MULTILINE)
_ROOT = re.compile(rf"""(?:{BEGIN}root|^\s*DocumentRoot)\s+"?([^;#\s"]+)""", re.MULTILINE)
_INCLUDE = {
    "nginx": re.compile(rf"""{BEGIN}include()\s+["']?([^;"'\n]+)""", re.MULTILINE),
    "apache": re.compile(r"""^\s*Include(Optional)?\s+["']?([^"'\n]+)""", re.MULTILINE | re.IGNORECASE),
}
# Apache may be told in its settings where names begin.
_SERVER_ROOT = re.compile(r"""^\s*ServerRoot\s+["']?(/[^"'\s]+)""", re.MULTILINE | re.IGNORECASE)
# To Apache a semicolon is a part of it. A comment of nginx is gone already.
_UPSTREAM = re.compile(r"proxy_pass\s+([^;\s]+)|ProxyPass\s+\S+\s+(\S+)")
_QUOTED_OR_COMMENT = re.compile(r"""(?<![^\s;{}])(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|#[^\n]*)""", re.DOTALL)
_PATTERN = re.compile(r"[\w./*?\[\]@+-]{1,200}")
_NAME = re.compile(r"[\w.*~^$\\-]{1,120}")


def sites(system):
    """
    Return the web sites that files of ``system`` describe; of other web servers ``cut_short`` names their files.

    A list of dict: server (nginx, apache), path, names, listen, root, upstream (scheme and host), by.
    """
    found = []
    for server in _FILES:
        for name, text in texts(system, server):
            by = insync_survey_packages.by(system, name) or _linked(system, system.path(name))
            found += [_site(server, name, match[0], by) for match in _SITES[server].finditer(text)]
    running = insync_survey_web_settings.settings(system)
    for server, patterns in _OTHERS.items():
        names = [name for pattern in patterns for name in system.glob(pattern)]
        told = [path for one, path, _ in running if one == server]
        for name in dict.fromkeys([*names, *filter(None, told)]):
            if not system.by(name).startswith(("salt", "known")):
                system.cut_short.append(f"sites of {server}, in {name}: not read")
        if "" in told and not names:
            system.cut_short.append(f"sites of {server}: one runs, and its settings are not known")
    return found


def homes(system, server):
    """Return where a name may begin that no slash does (list of str) in the settings of ``server`` (str)."""
    running = insync_survey_web_settings.settings(system)
    return list(dict.fromkeys([*_HOMES[server], *(folder for one, _, folder in running if one == server)]))


def texts(system, server):
    """
    Yield (name, text) of every file that describes sites of ``server`` (str), and of all that one of them includes.

    These are the usual ones, and what a server that runs was told to read. The text is without comments, and of nginx
    without what is only quoted.
    """
    places, seen = homes(system, server), set()
    waiting = [name for pattern in _FILES[server] for name in system.glob(pattern)]
    waiting += [path for one, path, _ in insync_survey_web_settings.settings(system) if one == server]
    while waiting:
        name = waiting.pop(0)
        if name in seen or not system.path(name).is_file():
            continue
        if len(seen) == FILES:
            system.cut_short.append(f"sites of {server}: too many files")
            return
        seen.add(name)
        text = _PLAIN[server](system.text(name))
        places += _SERVER_ROOT.findall(text)
        for optional, pattern in _INCLUDE[server].findall(text):
            waiting += _included(system, server, places, pattern.strip(), optional)
        yield name, text


def _included(system, server, homes, pattern, optional):
    """The files that ``pattern`` of an include means; what cannot be found by it is told."""
    places = [os.path.normpath(os.path.join(home, re.sub(r"\*+", "*", pattern))) for home in homes]
    if not _PATTERN.fullmatch(pattern) or "/" in places:
        system.cut_short.append(f"sites of {server}: an include that cannot be followed")
        return []
    names = [name for place in places for name in system.glob(place)]
    if not (names or optional or set("*?[") & set(pattern)):
        system.cut_short.append(f"sites of {server}: {pattern} is included, and not there")
    # Apache takes all that is in a folder.
    folders = [name for name in names if name in places and system.path(name).is_dir()]
    return names + [system.name(pathlib.Path(entry.path)) for entry in system.walk(folders)]


def _plain(text):
    """``text`` of nginx without comments, and without statements that are only quoted."""
    return _QUOTED_OR_COMMENT.sub(lambda one: "" if one[0][0] == "#" else re.sub(r"[;{}#\n]", "?", one[0]), text)


_PLAIN = {"nginx": _plain, "apache": lambda text: re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)}


def _linked(system, path):
    """By whom it is what a link leads to, such as Debian's default site."""
    if not path.is_symlink():
        return ""
    target = pathlib.Path(os.path.realpath(path))
    return insync_survey_packages.by(system, system.name(target)) if target.is_relative_to(system.root) else ""


def _site(server, name, text, by):
    words = [word for match in _NAMES.findall(text) for word in match.split()]
    listen = [(one or other).split()[0] for one, other in _LISTEN.findall(text)]
    return {
        "server": server,
        "path": name,
        "names": [word for word in words if _NAME.fullmatch(word)],
        "listen": [one for one in listen if re.fullmatch(r"[\w.:*\[\]/-]{1,80}", one)],
        "root": next(iter(_ROOT.findall(text)), ""),
        "upstream": sorted({insync_survey_mask.url(one or other) for one, other in _UPSTREAM.findall(text)}),
        "by": by,
    }
