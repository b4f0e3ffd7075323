"""What clients find in the world: whether a version can be downloaded, and which one they are told."""

import concurrent.futures
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request

import insync_http
import insync_version

DOWNLOAD_SECONDS = 10
# Several processes of several servers answer: so many answers in a row have to agree that hardly one was not asked.
ANSWERS = 32
SECONDS, POLL = 15, 0.25


class _ToHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(downloads, platform, version):
    """
    Return where ``version`` is downloaded for ``platform`` (both str), by ``downloads`` (dict: platform -> URL).

    Raises insync_version.VersionError if nothing is told of the platform.
    """
    if platform not in downloads:
        raise insync_version.VersionError(f"current_versions.downloads: {platform} has no URL")
    return downloads[platform].replace("{version}", version)


def downloadable(url):
    """
    Fetch the first byte of what clients find at ``url`` (str, https; it may lead elsewhere, by https too).

    Raises insync_version.VersionError that names it and says why there is none.
    """
    try:
        if not url.startswith("https://"):
            raise urllib.error.URLError("it is not https")
        request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})
        with urllib.request.build_opener(_ToHttps).open(request, timeout=DOWNLOAD_SECONDS) as answer:
            if answer.status not in (200, 206):
                raise urllib.error.URLError(f"the answer is {answer.status}")
            if not answer.read(1):
                raise urllib.error.URLError("it is empty")
    except (OSError, http.client.HTTPException, ValueError) as exc:
        # An HTTPError is an answer such as 404, other URLErrors have a reason.
        why = f"the answer is {exc.code}" if isinstance(exc, urllib.error.HTTPError) else getattr(exc, "reason", exc)
        raise insync_version.VersionError(f"{url}: cannot be downloaded: {why or type(exc).__name__}") from exc


def there(url, files):
    """
    Look whether customers can fetch ``files`` (dict: key -> dict with its size) below ``url`` (str).

    Raises insync_version.VersionError naming what is not there in its size.
    """
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sizes = dict(zip(files, pool.map(lambda key: _size(f"{url}/{urllib.parse.quote(key)}"), files), strict=True))
    wrong = [key for key, entry in files.items() if sizes[key] != entry["size"]]
    if wrong:
        raise insync_version.VersionError(f"{url}: customers do not get {', '.join(wrong[:5])}")


def _size(url):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=DOWNLOAD_SECONDS) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, http.client.HTTPException, TypeError, ValueError):
        return None


def told(url):
    """Ask ``url`` (str) once; return (versions, why): a dict platform -> version, {} and why (str) if none is told."""
    status, text = insync_http.get(url)
    try:
        found = json.loads(text) if status == 200 else None
    except ValueError:
        found = None
    return (found, "") if isinstance(found, dict) else ({}, f"{status or ''} {' '.join(text.split())[:200]}".strip())


def wait(url, platform, version):
    """
    Return what clients are told (dict) when the last ANSWERS answers said ``version`` for ``platform`` (both str).

    url (str): where clients ask. Raises insync_version.VersionError if that is not so within SECONDS.
    """
    deadline, agreed = time.monotonic() + SECONDS, 0
    while True:
        found, why = told(url)
        agreed = agreed + 1 if found.get(platform) == version else 0
        if agreed >= ANSWERS:
            return found
        if not agreed:
            if time.monotonic() >= deadline:
                said = why or f"{platform} {found.get(platform)}"
                raise insync_version.VersionError(
                    f"clients are not told {platform} {version} within {SECONDS} s: GET {url}: {said}"
                )
            time.sleep(POLL)
