"""The old wiki: it is read as ever, nothing can be written, and all of it is exported."""

import gzip
import io
import json
import re
import xml.etree.ElementTree

import botocore.exceptions
import pytest

from lab import podman, s3
from tests.fleet.conftest import INVENTORY
from tests.fleet.web import SECRETS

NAME = "wiki.insynchq.com"
URL = f"https://{NAME}"
TITLE, PATH = "How we release/A?B ü", "/wiki/How_we_release/A%3FB_%C3%BC"
TEXT = "Tell everybody first, then take a deep breath."
BUCKET = "insync_wiki_archive"
WRITABLE = ("setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups", "php")
MAINTENANCE = "/usr/share/mediawiki/maintenance"


def get(fleet, *options):
    """Return (status, body) of a request from the internet; options are curl's, the URL among them."""
    command = ["curl", "--silent", "--max-time", "30", "--write-out", "\n%{http_code}", *options]
    body, _, status = fleet.run("world", *command).stdout.rpartition("\n")
    return int(status or 0), body


@pytest.fixture(scope="module")
def page(fleet):
    """A page and an image as the old wiki has them, put there by root at the command line."""

    def maintain(script, *words, stdin=None):
        return fleet.ok(
            "wiki", *WRITABLE, f"{MAINTENANCE}/{script}", "--conf", "/etc/mediawiki/writable.php", *words, stdin=stdin
        )

    fleet.ok("wiki", "install", "-D", "/usr/share/mediawiki/resources/assets/mediawiki.png", "/tmp/old/Drawing.png")
    maintain("importImages.php", "--skip-dupes", "/tmp/old")
    maintain("edit.php", TITLE, stdin=f"{TEXT}\n\n[[File:Drawing.png]]\n[[Category:Releases]]\n")
    return TITLE


def test_an_old_page_is_read(fleet, page):
    status, text = get(fleet, f"{URL}{PATH}")
    assert status == 200 and TEXT in text and "MediaTransformError" not in text
    image = re.search(r'src="(/images/[^"]+Drawing.png)"', text)[1]
    assert get(fleet, "--output", "/dev/null", f"{URL}{image}")[0] == 200
    # As old links have it.
    assert TEXT in get(fleet, f"{URL}/index.php?title=How_we_release/A%3FB_%C3%BC")[1]
    status, headers = get(fleet, "--head", f"http://{NAME}{PATH}?x=1")
    assert (status, re.search(r"(?im)^location: (\S+)", headers)[1]) == (301, f"{URL}{PATH}?x=1")


def test_an_edit_is_refused_with_the_reason(fleet, page):
    # The token of those who are not logged in.
    edit = ["--data", "action=edit&format=json&text=x", "--data-urlencode", f"title={page}"]
    status, said = get(fleet, *edit, "--data-urlencode", "token=+\\", f"{URL}/api.php")
    error = json.loads(said)["error"]
    assert (status, error["code"]) == (200, "readonly") and "deprecated" in error["readonlyreason"]
    assert "deprecated; its pages are kept to be read" in get(fleet, f"{URL}/index.php?title=New&action=edit")[1]
    assert TEXT in get(fleet, f"{URL}{PATH}")[1]
    pid = fleet.ok("wiki", "systemctl", "show", "--property=MainPID", "--value", "mediawiki").strip()
    for path in ("/var/lib/mediawiki/data/wiki.sqlite", "/var/lib/mediawiki/images/x", "/etc/mediawiki/x"):
        # As root, in what PHP sees: it could not write if it were told to.
        done = fleet.run("wiki", "nsenter", "--target", pid, "--mount", "--", "touch", path)
        assert "Read-only file system" in done.stderr, f"{path}: {done.stderr or 'written'}"


def test_nobody_makes_an_account(fleet):
    assert (
        "You do not have permission to create this user account" in get(fleet, f"{URL}/wiki/Special:CreateAccount")[1]
    )
    create = "action=createaccount&format=json&username=Mallory&createreturnurl=https://x.example/"
    secret = ["--data-urlencode", "password=correct horse battery", "--data-urlencode", "retype=correct horse battery"]
    token = ["--data-urlencode", "createtoken=+\\"]
    assert "error" in json.loads(get(fleet, "--data", create, *secret, *token, f"{URL}/api.php")[1])
    users = get(fleet, f"{URL}/api.php?action=query&list=allusers&format=json")[1]
    assert "Archivist" in users and "Mallory" not in users


NOT_THERE = """/maintenance/install.php /maintenance/ /mw-config/index.php /includes/Setup.php /vendor/autoload.php
/LocalSettings.php /config/ /composer.json /rest.php /thumb.php /img_auth.php /extensions/Cite/extension.json
/images/.htaccess /images/deleted/x /images/README.php /cache/ /data/wiki.sqlite /.git/config""".split()


def test_what_no_reader_needs_is_not_there(fleet):
    urls = [word for path in NOT_THERE for word in ("--output", "/dev/null", f"{URL}{path}")]
    said = fleet.ok("world", "curl", "--silent", "--path-as-is", "--write-out", "%{http_code} %{url}\n", *urls)
    assert sorted(said.splitlines()) == sorted(f"404 {URL}{path}" for path in NOT_THERE)


def test_another_name_is_refused(fleet):
    address = INVENTORY["hosts"]["wiki"]["public"]
    resolve = ["--resolve", f"other.example:443:{address}", "--resolve", f"other.example:80:{address}"]
    assert fleet.run("world", "curl", "--silent", "--insecure", *resolve, "https://other.example/").returncode == 35
    assert fleet.run("world", "curl", "--silent", *resolve, "http://other.example/").returncode == 52


def store(key=None):
    """Return a boto3 client of the bucket's owner, or of the wiki's key."""
    import boto3
    import botocore.config

    own = s3.client()
    if key is None:
        return own
    config = botocore.config.Config(proxies={}, s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=own.meta.endpoint_url,
        region_name=s3.REGION,
        aws_access_key_id=key["s3_access_key"],
        aws_secret_access_key=key["s3_secret_key"],
        config=config,
    )


def exported(fleet, *words):
    """Return what the verb on the wiki returns."""
    done = fleet.run("ct1", "salt", "wiki", "insync.export_wiki", *words, "--static", "--out=json", "--timeout=60")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["wiki"]


def keys():
    return {entry["Key"] for entry in store().list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_all_of_it_is_exported(fleet, page):
    with podman.network("cloud"):
        before = keys()
    planned = exported(fleet, "test=True")
    with podman.network("cloud"):
        assert keys() == before, "a test only looks"
    told = exported(fleet)
    assert told["pages"] == planned["pages"] >= 3 and told["export"] not in planned["exports"]
    wiki = store(SECRETS["wiki"])

    def read(key):
        return wiki.get_object(Bucket=BUCKET, Key=f"{told['export']}/{key}")["Body"].read()

    with podman.network("cloud"):
        manifest = json.loads(read("manifest.json"))
        dump = xml.etree.ElementTree.parse(gzip.open(io.BytesIO(read("pages.xml.gz"))))
        static = read("static/wiki/How_we_release/A?B_ü").decode()
        index = read("static/index.html").decode()
        image = re.search(r'src="/(images/[^"]+Drawing.png)"', static)[1]
        assert read(f"static/{image}").startswith(b"\x89PNG")
        assert len(keys() - before) == len(manifest["files"]) + 1
    texts = {
        found.findtext("{*}title"): found.findtext("{*}revision/{*}text") for found in dump.getroot().findall("{*}page")
    }
    assert texts[page].startswith(TEXT) and len(texts) == told["pages"]
    assert TEXT in static and 'href="/wiki/Category:Releases"' in static and f'href="{PATH}"' in index
    last = json.loads(fleet.ok("wiki", "cat", "/var/lib/insync/wiki/journal.json"))
    assert (last["verb"], last["end"], last["export"]) == ("insync.export_wiki", "ok", told["export"])


def test_its_key_only_adds_to_its_own_bucket(fleet):
    with podman.network("cloud"):
        wiki = store(SECRETS["wiki"])
        for refused in (
            lambda: wiki.delete_object(Bucket=BUCKET, Key=sorted(keys())[0]),
            lambda: wiki.list_objects_v2(Bucket="insync_builds"),
            lambda: wiki.put_object(Bucket="insync_apt", Key="x", Body=b"x"),
            lambda: wiki.delete_bucket_policy(Bucket=BUCKET),
        ):
            with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
                refused()


def test_an_option_that_it_has_not_is_refused(fleet):
    done = fleet.run("ct1", "salt", "wiki", "insync.export_wiki", "tset=True")
    assert done.returncode == 1 and "tset=True: no option" in done.stdout and "Traceback" not in done.stdout
