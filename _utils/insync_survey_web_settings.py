"""What the web servers that run on a server were told to read; from /proc alone, and nothing of them is started."""

import getopt
import os
import re

import insync_survey_daemons

_SERVERS = {
    "nginx": "nginx",
    "apache2": "apache",
    "httpd": "apache",
    "caddy": "caddy",
    "cherokee": "cherokee",
    "h2o": "h2o",
    "haproxy": "haproxy",
    "hiawatha": "hiawatha",
    "lighttpd": "lighttpd",
    "litespeed": "litespeed",
    "openlitespeed": "litespeed",
    "thttpd": "thttpd",
    "traefik": "traefik",
    "varnishd": "varnish",
}
# So nginx writes its command line, with spaces between the words, whatever its program is called; its workers do not.
_TITLE, _MASTER = "nginx: ", "nginx: master process "
# As getopt has their options; which of them say where the settings are, and where all else is; how they are called.
_OPTIONS = {"nginx": "?hvVtTqs:p:e:c:g:", "apache": "D:C:c:d:e:E:f:hk:lLMn:RStTvVX"}
_FILE, _HOME = {"nginx": "-c", "apache": "-f"}, {"nginx": "-p", "apache": "-d"}
_USUAL = {"nginx": ("conf/nginx.conf",), "apache": ("apache2.conf", "conf/httpd.conf", "httpd.conf")}
# What stands on the command line itself.
_MORE = re.compile(r"(?:^|[\s;])include(?:optional)?\s", re.IGNORECASE)
_PACKAGED = ("/usr/bin/", "/usr/sbin/")
# Of one server.
_NAMED = 20
# A process's own, no settings.
_PASSING = ("/dev/", "/proc/", "/run/", "/var/run/")


def settings(system):
    """
    Return the settings that web servers which run on ``system`` read, but for those that always read the same.

    A list of (server, path, folder), all str; path is "" if it is not known. folder: where a name begins in them that
    no slash does. What cannot be seen of them is told by ``cut_short``.
    """
    found = []
    for home, exe in insync_survey_daemons.processes(system):
        argv = insync_survey_daemons.arguments(home)
        server = "nginx" if argv[0].startswith(_TITLE) else _SERVERS.get(os.path.basename(exe))
        is_nginx = argv[0].startswith(_TITLE)
        # A worker is told nothing of its own.
        if not server or (is_nginx and not argv[0].startswith(_MASTER)) or insync_survey_daemons.is_worker(home):
            continue
        folder = insync_survey_daemons.link(home / "cwd") or "/"
        if not insync_survey_daemons.is_seen(home / "root", "/"):
            _unseen(system, server)
        elif server not in _OPTIONS:
            found += [(server, path, "") for path in _words(system, folder, argv[1:])]
        elif not insync_survey_daemons.is_roots(home):
            # Whoever has a process of that name could have the survey follow includes for hours.
            system.cut_short.append(f"sites of {server}: one runs whose user is not root, its settings are not read")
        else:
            words = argv[0].removeprefix(_MASTER).split() if argv[0].startswith(_MASTER) else argv
            found += _of_options(system, server, exe, folder, words[1:])
    return list(dict.fromkeys(found))


def _unseen(system, server):
    system.cut_short.append(f"sites of {server}: one that runs has settings that the survey does not see")


def _of_options(system, server, exe, folder, words):
    """What an nginx or Apache reads that was started with ``words``."""
    try:
        given = dict(getopt.gnu_getopt(words, _OPTIONS[server])[0])
    except getopt.GetoptError:
        _unseen(system, server)
        return
    if _MORE.search(" ".join(words)):
        _unseen(system, server)
    home = given.get(_HOME[server], "" if exe.startswith(_PACKAGED) else os.path.dirname(os.path.dirname(exe)))
    home = os.path.normpath(os.path.join(folder, home))
    if _FILE[server] in given:
        names = [os.path.normpath(os.path.join(home, given[_FILE[server]]))]
    elif _HOME[server] not in given and system.owner(exe):
        # Those of a package are always in the same place.
        return
    else:
        names = [f"{home}/{name}" for name in _USUAL[server]]
    there = [name for name in names if system.is_near(name) and system.path(name).is_file()]
    if not there:
        _unseen(system, server)
    yield from ((server, name, home if server == "apache" else os.path.dirname(name)) for name in there[:1])


def _words(system, folder, words):
    """The files and folders that ``words`` name, alone or behind an option; [""] if there are none."""
    parts = [part for word in words for part in (word, word.partition("=")[2], re.sub(r"^-\w", "", word)) if part]
    names = dict.fromkeys(os.path.normpath(os.path.join(folder, part)) for part in parts)
    there = [name for name in names if not f"{name}/".startswith(_PASSING) and _is_there(system, name, folder)]
    return there[:_NAMED] or [""]


def _is_there(system, name, folder):
    return name != folder and system.is_near(name) and (system.path(name).is_file() or system.path(name).is_dir())
