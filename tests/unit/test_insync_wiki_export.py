"""The wiki as files: what pages, XML and images become, and when an export does not count."""

import datetime
import gzip
import json
import subprocess
import types

import insync_wiki_export as export
import pytest

PAGE = {
    "path": "wiki/A?B/ü",
    "title": "A?B/ü & <x>",
    "revision": 7,
    "to": None,
    "categories": "",
    "body": "<p>text</p>",
}
XML = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">
<page><title>One</title><revision/><revision/></page>
<page><title>Two</title><revision/></page>
</mediawiki>
"""


def php(output="", code=0, said=""):
    """Stands for subprocess.run."""

    def run(command, stdout, **options):
        run.command = command
        stdout.write(output.encode())
        stdout.flush()
        return subprocess.CompletedProcess(command, code, None, said.encode())

    return run


def test_a_page_is_kept_under_the_path_that_readers_know(tmp_path):
    items, facts = export.pages(tmp_path, php(json.dumps(PAGE) + "\n"))
    assert [item.key for item in items] == ["static/wiki/A?B/ü", "static/index.html"]
    assert facts == [{"path": PAGE["path"], "title": PAGE["title"], "revision": 7}]
    text = items[0].body.read_text(encoding="utf-8")
    assert "<p>text</p>" in text and "<title>A?B/ü &amp; &lt;x&gt;</title>" in text and "revision 7" in text
    assert '<a href="/wiki/A%3FB/%C3%BC">A?B/ü &amp; &lt;x&gt;</a>' in items[1].body.decode()


def test_a_redirect_leads_on():
    assert 'content="0; url=/wiki/B%22"' in export.page_html({**PAGE, "to": 'wiki/B"'})
    assert "refresh" not in export.page_html(PAGE)


def test_php_runs_as_its_user_and_what_it_says_is_one_line(tmp_path):
    run = php("3\n")
    assert export.count(run) == 3
    assert run.command[:2] == ["setpriv", "--reuid=www-data"] and "--conf" in run.command
    with pytest.raises(export.WikiError, match="^export.php: Database is locked$"):
        export.count(php("", 1, "Database is locked\n#0 /usr/share\n"))
    with pytest.raises(export.WikiError, match="the wiki has no pages"):
        export.pages(tmp_path, php(""))


def test_the_dump_is_packed_and_the_same_pages_make_the_same_file(tmp_path):
    first = export.dump(tmp_path, php(XML)).body.read_bytes()
    item = export.dump(tmp_path, php(XML))
    assert item.body.read_bytes() == first and gzip.decompress(first).decode() == XML
    assert export.read_dump(item.body) == {"One": 2, "Two": 1}


@pytest.mark.parametrize("damaged", [gzip.compress(XML[:-20].encode()), gzip.compress(XML.encode())[:-9], b"<x/>"])
def test_a_dump_that_is_cut_short_is_none(tmp_path, damaged):
    path = tmp_path / "pages.xml.gz"
    path.write_bytes(damaged)
    with pytest.raises(export.WikiError, match="pages.xml.gz: "):
        export.read_dump(path)


@pytest.mark.parametrize("dumped", [{"One": 1}, {"One": 1, "Two": 1, "Three": 1}, {"One": 1, "Two": 0}])
def test_xml_and_pages_have_to_be_the_same(dumped):
    facts = [{"title": "One"}, {"title": "Two"}]
    export.compared(facts, {"One": 2, "Two": 1})
    with pytest.raises(export.WikiError, match="XML and pages differ: T"):
        export.compared(facts, dumped)


def test_images_are_those_that_readers_may_see(tmp_path):
    for name in ("a/ab/Logo.png", "archive/a/ab/old!Logo.png", "deleted/x.png", "temp/y.png", "lockdir/z", ".htaccess"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    found = {item.key: item.type for item in export.images(tmp_path)}
    assert found == {"static/images/a/ab/Logo.png": "image/png", "static/images/archive/a/ab/old!Logo.png": "image/png"}


class Bucket:
    """Stands for the store; ``damage`` is the key whose content it loses."""

    name = "archive"

    def __init__(self, damage=None):
        self.there, self.damage = {}, damage

    def put_new(self, key, body, sha256, type):
        """As the store's."""
        self.there[key] = body if isinstance(body, bytes) else body.read_bytes()

    def read(self, key):
        """As the store's."""
        yield b"" if key == self.damage else self.there[key]


def items():
    return [export.Item("pages.xml.gz", b"xml", "application/gzip"), export.Item("static/x", b"html", export.HTML)]


def test_the_manifest_comes_last_and_names_every_file():
    bucket = Bucket()
    manifest = export.upload(bucket, "now", items(), {"by": "alice"})
    assert list(bucket.there)[-1] == "now/manifest.json"
    assert json.loads(bucket.there["now/manifest.json"]) == manifest
    assert manifest["by"] == "alice" and manifest["files"]["static/x"]["size"] == 4


def test_what_is_read_back_otherwise_leaves_no_manifest():
    bucket = Bucket(damage="now/static/x")
    with pytest.raises(export.WikiError, match="now/static/x: what is read back"):
        export.upload(bucket, "now", items(), {})
    assert "now/manifest.json" not in bucket.there


def test_an_export_is_named_by_its_time():
    zone = datetime.timezone(datetime.timedelta(hours=8))
    assert export.name(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)) == "2026-01-01T190405Z"


def test_nothing_of_an_export_is_public(monkeypatch):
    made = []
    fake = types.SimpleNamespace(Store=lambda *words, **options: made.append((words, options)))
    monkeypatch.setattr(export, "insync_store", fake)
    export.store({"bucket": "b", "endpoint": "", "region": "r"}, "key", "secret")
    ((words, options),) = made
    assert words == ("b", "key", "secret") and options["acl"] is None and options["endpoint"] is None
