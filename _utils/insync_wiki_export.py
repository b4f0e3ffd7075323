"""The wiki's pages as files that need no wiki any more: its XML, and every page as HTML, in a bucket."""

import dataclasses
import datetime
import gzip
import hashlib
import html
import json
import mimetypes
import pathlib
import subprocess
import tempfile
import urllib.parse
import xml.etree.ElementTree

import insync_store
import insync_store_parts

HOME = pathlib.Path("/usr/share/mediawiki/maintenance")
PAGES = "/usr/local/lib/insync-mediawiki/export.php"
SETTINGS = "/etc/mediawiki/LocalSettings.php"
IMAGES = pathlib.Path("/var/lib/mediawiki/images")
# What MediaWiki keeps among the images that nobody may see, or that is none.
HIDDEN = {"deleted", "lockdir", "temp", "README"}
# boto3 has authorities of its own; the site's are the system's.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
BECOME = ["setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups", "--no-new-privs", "--reset-env"]
HTML = "text/html; charset=utf-8"
MANIFEST = "manifest.json"

_PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>{refresh}
<style>body {{ max-width: 60em; margin: 1em auto; padding: 0 1em; font-family: sans-serif }}</style>
</head>
<body>
<h1>{title}</h1>
{body}
<hr>
<p>{footer} <a href="/index.html">All pages</a></p>
</body>
</html>
"""


class WikiError(ValueError):
    """The wiki cannot be exported; the message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class Item:
    """What becomes an object of the bucket: its ``key`` below the export's folder, its content and its media type."""

    key: str
    body: bytes | pathlib.Path
    type: str

    def digest(self):
        """Return its SHA-256 (str)."""
        return insync_store_parts.Content(self.body).sha256()


def count(run=subprocess.run):
    """
    Return how many pages (int) the wiki has.

    run (callable): runs PHP, as subprocess.run does.
    Raises WikiError, as everything here does.
    """
    with tempfile.TemporaryFile() as output:
        _php([PAGES, "--count"], output, run)
        output.seek(0)
        return int(output.read())


def pages(folder, run=subprocess.run):
    """
    Return every page as (list of Item, list of facts: dict with path, title and revision), and an index of them.

    folder (pathlib.Path): where they are kept meanwhile.
    """
    lines, items, facts = folder / "pages.jsonl", [], []
    with lines.open("wb") as output:
        _php([PAGES], output, run)
    with lines.open(encoding="utf-8") as file:
        for number, page in enumerate(map(json.loads, file)):
            path = folder / f"{number}.html"
            path.write_text(page_html(page), encoding="utf-8")
            items.append(Item(f"static/{page['path']}", path, HTML))
            facts.append({key: page[key] for key in ("path", "title", "revision")})
    if not facts:
        raise WikiError("the wiki has no pages")
    return [*items, Item("static/index.html", index_html(facts).encode(), HTML)], facts


def page_html(page):
    """Return the HTML (str) of ``page`` (dict), as export.php tells it."""
    footer = f"Exported from revision {page['revision']} of the wiki."
    categories = f"<p>{page['categories']}</p>\n" if page["categories"] else ""
    refresh = f'\n<meta http-equiv="refresh" content="0; url={_link(page["to"])}">' if page["to"] else ""
    return _PAGE.format(
        title=html.escape(page["title"]), refresh=refresh, body=categories + page["body"], footer=footer
    )


def index_html(facts):
    """Return the HTML (str) of the list of all pages; ``facts`` (list of dict) as ``pages`` returns them."""
    lines = [
        f'<li><a href="{_link(page["path"])}">{html.escape(page["title"])}</a></li>'
        for page in sorted(facts, key=lambda page: page["title"])
    ]
    body = "<ul>\n" + "\n".join(lines) + "\n</ul>"
    return _PAGE.format(title="All pages", refresh="", body=body, footer=f"{len(facts)} pages.")


def images(folder=IMAGES):
    """Return the uploaded files below ``folder`` (pathlib.Path) that readers may see, as a list of Item."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_symlink() or not path.is_file() or HIDDEN & set(parts[:1]) or any(p.startswith(".") for p in parts):
            continue
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found.append(Item(f"static/images/{'/'.join(parts)}", path, kind))
    return found


def dump(folder, run=subprocess.run):
    """Write the XML of all pages with all their revisions into ``folder`` (pathlib.Path); return it as an Item."""
    plain, packed = folder / "pages.xml", folder / "pages.xml.gz"
    with plain.open("wb") as output:
        _php([HOME / "dumpBackup.php", "--full", "--uploads", "--quiet"], output, run)
    # The same pages make the same file.
    with plain.open("rb") as text, packed.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as archive:
        while piece := text.read(2**20):
            archive.write(piece)
    plain.unlink()
    return Item("pages.xml.gz", packed, "application/gzip")


def read_dump(path):
    """
    Return {title of a page: how many revisions it has} of a dump, as a reader of the XML finds them.

    path (pathlib.Path): the packed file.
    """
    found = {}
    try:
        with gzip.open(path) as file:
            for _, element in xml.etree.ElementTree.iterparse(file):
                name = element.tag.rpartition("}")[2]
                if name == "page":
                    title = next(child.text for child in element if child.tag.endswith("}title"))
                    found[title] = sum(child.tag.endswith("}revision") for child in element)
                    element.clear()
    except (OSError, EOFError, StopIteration, xml.etree.ElementTree.ParseError) as exc:
        raise WikiError(f"{path.name}: {exc}") from exc
    return found


def compared(facts, dumped):
    """Raise WikiError unless ``facts`` (list of dict) has the pages of ``dumped`` (dict: title -> revisions)."""
    titles = {page["title"] for page in facts}
    if odd := sorted(titles ^ dumped.keys()) or sorted(title for title, revisions in dumped.items() if not revisions):
        raise WikiError(f"XML and pages differ: {', '.join(odd[:5])}; was the wiki written to meanwhile?")


def name(now):
    """Return the folder (str) of an export at ``now`` (datetime.datetime)."""
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")


def store(archive, access, secret):
    """Return the insync_store.Store that ``archive`` (dict of the pillar) is about; access, secret (str): its key."""
    endpoint, region = archive["endpoint"] or None, archive["region"]
    return insync_store.Store(
        archive["bucket"], access, secret, endpoint=endpoint, region=region, ca=AUTHORITIES, acl=None
    )


def upload(bucket, folder, items, facts):
    """
    Put ``items`` (list of Item) below ``folder`` (str), read each of them back, and put the manifest last.

    bucket (insync_store.Store). facts (dict): what the manifest says beside the files.
    Returns the manifest (dict). Raises WikiError naming what is not there as it was sent, or StoreError.
    """
    files = dict(insync_store_parts.parallel(lambda item: (item.key, _sent(bucket, folder, item)), items))
    manifest = {**facts, "files": files}
    text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    _sent(bucket, folder, Item(MANIFEST, text, "application/json"))
    return manifest


def _sent(bucket, folder, item):
    key, wanted = f"{folder}/{item.key}", item.digest()
    bucket.put_new(key, item.body, wanted, type=item.type)
    found, size = hashlib.sha256(), 0
    for piece in bucket.read(key):
        found.update(piece)
        size += len(piece)
    if found.hexdigest() != wanted:
        raise WikiError(f"{key}: what is read back from {bucket.name} is not what was sent")
    return {"sha256": wanted, "size": size}


def _link(path):
    return html.escape(urllib.parse.quote(f"/{path}", safe="/:"))


def _php(words, output, run):
    command = [*BECOME, "php", *map(str, words[:1]), "--conf", SETTINGS, *words[1:]]
    done = run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False, cwd="/")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise WikiError(f"{pathlib.Path(words[0]).name}: {said[0]}")
