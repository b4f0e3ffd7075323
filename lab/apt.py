"""Where this machine gets Debian from: its own apt sources, as the images and the fleet use them."""

import dataclasses
import pathlib
import re
import urllib.parse
import urllib.request

from lab import shell
from lab.errors import LabError

CODENAME = "bookworm"
SUITES = (CODENAME, f"{CODENAME}-updates", f"{CODENAME}-security")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclasses.dataclass(frozen=True, order=True)
class Source:
    """One archive: an address and one of Debian's suites."""

    uri: str
    suite: str


def sources(apt=pathlib.Path("/etc/apt")):
    """
    Return this machine's Debian sources, sorted; other vendors' are left out.

    apt (pathlib.Path): apt's configuration folder.
    Raises LabError if there is none for Debian 12.
    """
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))]
    found = set()
    for path in files:
        if path.suffix == ".sources":
            found |= deb822(path.read_text(encoding="utf-8"))
        elif path.suffix == ".list" and path.is_file():
            found |= one_line(path.read_text(encoding="utf-8"))
    found = {Source(_mirror(source.uri), source.suite) for source in found}
    if CODENAME not in {source.suite for source in found}:
        raise LabError(f"{apt}: no source of Debian 12 ({CODENAME} main); the images are made from this machine's own")
    return sorted(found)


def deb822(text):
    """Return the set of Debian sources in a text of deb822 stanzas."""
    found = set()
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", "\n".join(lines), re.MULTILINE))
        words = {key.lower(): value.split() for key, value in fields.items()}
        if "deb" not in words.get("types", []) or words.get("enabled") == ["no"]:
            continue
        found |= _debian(words.get("uris", []), words.get("suites", []), words.get("components", []))
    return found


def one_line(text):
    """Return the set of Debian sources in a text of one-line entries."""
    found = set()
    for match in filter(None, map(_ONE_LINE.match, text.splitlines())):
        found |= _debian([match["uri"]], [match["suite"]], match["components"].split())
    return found


def text_of(found):
    """Return ``found`` (a list of Source) as the deb822 text that the images get."""
    stanza = "Types: deb\nURIs: {0.uri}\nSuites: {0.suite}\nComponents: main\nSigned-By: {1}\n"
    return "\n".join(stanza.format(source, KEYRING) for source in found)


def names(found):
    """Return the host names of ``found`` (a list of Source), sorted."""
    return sorted({urllib.parse.urlsplit(source.uri).hostname for source in found} - {None})


def proxy():
    """Return this machine's own apt proxy settings as apt.conf text; empty if it has none."""
    dump = shell.run(["apt-config", "dump"]).stdout.splitlines()
    return "".join(f"{line}\n" for line in dump if re.match(r'Acquire::https?::Proxy\S* "[^"]', line))


def check_reachable(source, seconds=20):
    """Raise LabError if the archive ``source`` (a Source) does not answer."""
    url = f"{source.uri.rstrip('/')}/dists/{source.suite}/InRelease"
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except (OSError, ValueError) as exc:
        said = getattr(exc, "reason", exc)
        raise LabError(
            f"package index {source.uri} unreachable ({said}); check this machine's network and /etc/apt"
        ) from exc


def _debian(uris, suites, components):
    suites = [suite for suite in suites if suite in SUITES]
    return {Source(uri.rstrip("/"), suite) for uri in uris for suite in suites if "main" in components}


def _mirror(uri):
    """A mirror list in a file (cloud images have one) stands for its first mirror."""
    prefix = "mirror+file:"
    if not uri.startswith(prefix):
        return uri
    path = pathlib.Path(uri[len(prefix) :])
    lines = path.read_text(encoding="utf-8").split() if path.is_file() else []
    if not lines:
        raise LabError(f"{path}: /etc/apt names this mirror list, but it is missing or empty")
    return lines[0].rstrip("/")
