"""The operators' verb of the old wiki, on the server that has it."""

import datetime
import pathlib
import tempfile

import insync_conf
import insync_errors
import insync_fresh_pillar
import insync_lock
import insync_store_errors
import insync_verb
import insync_wiki_export
from salt.exceptions import CommandExecutionError

__virtualname__ = "insync"

_told = insync_errors.told(
    insync_wiki_export.WikiError, insync_conf.ConfError, insync_store_errors.StoreError, insync_lock.Held
)


def __virtual__():
    return __virtualname__


@_told
def export_wiki(*, test=False, **kwargs):
    """
    Export the wiki to its bucket: the XML of all revisions, every page as HTML, every file that was uploaded.

    Each export is a folder of its own, named by the time; its manifest.json is written last, when everything else was
    read back. The wiki itself is only read.

    test (bool): only count the pages and look whether the bucket answers.

    Returns a dict: export (the folder), bucket, pages, revisions, files, bytes; in test mode pages, bucket and exports
    (those that are there and complete). Raises CommandExecutionError saying what failed; without a manifest, an export
    counts for nothing.

    CLI Example:

    .. code-block:: bash

        salt wiki insync.export_wiki
        salt wiki insync.export_wiki test=True
    """
    test = insync_verb.flag(test=test)
    run = insync_verb.called("wiki", "insync.export_wiki", kwargs, __grains__["id"], test)
    bucket = _store()
    with run as (journal, done):
        if test:
            there = [key.split("/")[0] for key in bucket.list() if key.endswith(f"/{insync_wiki_export.MANIFEST}")]
            return {"pages": insync_wiki_export.count(), "bucket": bucket.name, "exports": sorted(there)}
        done |= _exported(bucket, journal, insync_verb.by(kwargs))
        return dict(done)


def _store():
    pillar = insync_fresh_pillar.compile(__opts__, __grains__.value())
    if "mediawiki" not in pillar:
        raise CommandExecutionError("this server has no wiki")
    archive = pillar["mediawiki"]["archive"]
    named = {"access": archive["access_key"], "secret": archive["secret_key"]}
    keys = insync_conf.resolve(named, {}, pillar["secrets"])
    return insync_wiki_export.store(archive, keys["access"], keys["secret"])


def _exported(bucket, journal, by):
    folder = insync_wiki_export.name(datetime.datetime.now(datetime.UTC))
    with tempfile.TemporaryDirectory(prefix="insync-wiki-", dir="/var/tmp") as work:
        work = pathlib.Path(work)
        with journal.phase("dump"):
            xml = insync_wiki_export.dump(work)
            dumped = insync_wiki_export.read_dump(xml.body)
        with journal.phase("render"):
            items, facts = insync_wiki_export.pages(work)
        insync_wiki_export.compared(facts, dumped)
        items += [xml, *insync_wiki_export.images()]
        told = {"export": folder, "by": by, "pages": facts, "revisions": sum(dumped.values())}
        with journal.phase("upload", f"{len(items)} files to {bucket.name}"):
            manifest = insync_wiki_export.upload(bucket, folder, items, told)
    sizes = [file["size"] for file in manifest["files"].values()]
    facts = {"pages": len(facts), "revisions": manifest["revisions"], "files": len(sizes), "bytes": sum(sizes)}
    return {"export": folder, "bucket": bucket.name, **facts}
