"""A bucket that others change too: other publishers, people, a sweep; and one whose record is lost."""

import concurrent.futures
import dataclasses
import time
from email.utils import formatdate

import insync_bucket
import insync_publish
import pytest
from insync_publish_plan import Refused
from insync_store_errors import StoreError

from tests.functional.publishing import APT, MINT, YUM, Host, Shelf, Wire, publish


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "host")


@pytest.fixture
def shelf():
    return Shelf()


def test_eight_hosts_publish_the_same_unit(shelf, tmp_path):
    """Each upon what is live, again and again until it is its turn: nobody's version is lost."""
    first, names = Host(tmp_path / "first"), [f"1.{number}" for number in range(1, 9)]
    publish(shelf.store(), first, first.manifest(APT, 1))

    def release(version):
        host, store = Host(tmp_path / version, by=version), shelf.store()
        for _ in range(100):
            live = insync_publish.live(store)[APT]
            versions = [*live["packages"]["insync"], version]
            try:
                return publish(store, host, host.manifest(APT, live["serial"] + 1, versions))
            except Refused as exc:
                assert "meanwhile" in str(exc)
        raise AssertionError("it never was its turn")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(release, names))
    live = insync_publish.live(shelf.store())[APT]
    assert shelf.seen() == {APT: 9} and live["serial"] == 9
    assert set(live["packages"]["insync"]) == {"1.0", *names}


def test_who_was_faster_is_named(shelf, tmp_path):
    alice, bob = Host(tmp_path / "alice"), Host(tmp_path / "bob", by="bob")
    publish(shelf.store(), alice, alice.manifest(APT, 1))
    publish(shelf.store(), bob, bob.manifest(APT, 2, ["1.0", "1.2"]))
    before = shelf.keys()
    with pytest.raises(
        Refused, match=r"serial 2 of .* was published by bob \(update 1.2\) meanwhile, and ours lacks insync 1.2"
    ):
        publish(shelf.store(), alice, alice.manifest(APT, 2, ["1.0", "1.1"], date=alice.began + 9))
    with pytest.raises(Refused, match="by bob .* ours lacks insync 1.2; add that here, and run sync_repos again"):
        publish(shelf.store(), alice, alice.manifest(APT, 3, ["1.0", "1.1"]))
    with pytest.raises(Refused, match="by bob .* meanwhile, and ours is serial 2"):
        publish(shelf.store(), alice, alice.manifest(APT, 2, ["1.0", "1.1", "1.2"]))
    assert shelf.keys() == before
    publish(shelf.store(), alice, alice.manifest(APT, 3, ["1.0", "1.1", "1.2"]))
    assert shelf.seen() == {APT: 3}


@pytest.mark.parametrize("unit", [APT, YUM])
def test_somebody_publishes_between_our_look_and_our_commit(shelf, tmp_path, unit):
    alice, bob, other = Host(tmp_path / "alice"), Host(tmp_path / "bob", by="bob"), MINT
    publish(shelf.store(), alice, alice.manifest(unit, 1), alice.manifest(other, 1))
    store = shelf.store()
    wire = Wire(store)
    wire.fail("first_somebody_else", 2)
    wire.somebody_else = lambda: publish(shelf.store(), bob, bob.manifest(unit, 2, ["1.0", "1.2"]))
    with pytest.raises(Refused, match=f"{unit}: serial 2 of .* was published by bob"):
        publish(store, alice, alice.manifest(unit, 3, ["1.0", "1.1"]), alice.manifest(other, 2))
    assert shelf.seen() == {unit: 2, other: 2}
    assert insync_publish.live(shelf.store())[other]["serial"] == 2


def test_somebody_has_committed_and_is_not_done(shelf, tmp_path):
    """His head.json is not there yet: he is waited for, and if he never comes, repair=True goes on from there."""
    alice, bob, store = Host(tmp_path / "alice"), Host(tmp_path / "bob", by="bob"), shelf.store()
    publish(shelf.store(), alice, alice.manifest(APT, 1))
    wire = Wire(store)
    wire.fail("dead_after", 9)
    with pytest.raises(StoreError):
        publish(store, bob, bob.manifest(APT, 2, ["1.0", "1.2"]))
    assert shelf.seen() == {APT: 2} and insync_publish.live(shelf.store())[APT]["serial"] == 1
    ours = alice.manifest(APT, 3, ["1.0", "1.1"])
    with pytest.raises(Refused, match="serial 2 of .* was published meanwhile; run sync_repos again"):
        publish(shelf.store(), alice, ours)
    publish(shelf.store(), alice, ours, repair=True)
    assert shelf.seen() == {APT: 3} and insync_bucket.drift(shelf.store(), {APT: ours}).keys() == {"unknown"}


def test_not_newer_or_of_the_future(shelf, host):
    publish(shelf.store(), host, host.manifest(APT, 2))
    before = shelf.keys()
    with pytest.raises(Refused, match=r"serial 2 of .* is live, and serial 3 of .* is not newer"):
        publish(shelf.store(), host, host.manifest(APT, 3, date=host.began + 2))
    with pytest.raises(Refused, match="serial 1 of .* is not newer"):
        publish(shelf.store(), host, host.manifest(APT, 1))
    with pytest.raises(Refused, match="clients refuse what comes from the future"):
        publish(shelf.store(), host, host.manifest(APT, 3, date=int(time.time()) + 60))
    assert shelf.keys() == before


def test_a_version_never_changes(shelf, host):
    first, second = host.manifest(APT, 1), host.manifest(APT, 2, ["1.0", "1.1"])
    publish(shelf.store(), host, first)
    deb = next(key for key in first.immutable if key.endswith(".deb"))
    with pytest.raises(Refused, match=f"{deb}: it is published with other content"):
        publish(shelf.store(), host, dataclasses.replace(second, immutable={deb: host.entry("else")}))
    shelf.edit(f"{deb}.new", "put by hand")
    with pytest.raises(Refused, match=f"{deb}.new: there is other content under this name"):
        publish(shelf.store(), host, dataclasses.replace(second, immutable={f"{deb}.new": host.entry("else")}))
    assert shelf.seen() == {APT: 1}
    # The same content is taken for what it is, whoever has put it.
    publish(shelf.store(), host, dataclasses.replace(second, immutable={f"{deb}.new": host.entry("put by hand")}))


def test_what_is_damaged_on_this_disk_is_not_published(shelf, host):
    manifest = host.manifest(APT, 1)
    entry = next(iter(manifest.immutable.values()))
    host.path(entry["sha256"]).write_text("damaged")
    with pytest.raises(StoreError, match="damaged on this disk"):
        publish(shelf.store(), host, manifest)
    assert shelf.seen() == {}


def test_a_package_goes_and_comes_back(shelf, host):
    """Own publications may drop packages, also if the one before has not come to its end; nothing is put twice."""
    store = shelf.store()
    publish(store, host, host.manifest(APT, 1, ["1.0", "1.1"]))
    wire = Wire(store)
    wire.fail("dead_before", 5)
    with pytest.raises(StoreError):
        publish(store, host, host.manifest(APT, 2, ["1.0", "1.1", "1.2"]))
    wire.heal()
    assert shelf.seen() == {APT: 2}
    publish(store, host, host.manifest(APT, 3, ["1.2"]))
    back = publish(store, host, host.manifest(APT, 4, ["1.0", "1.1"]))
    assert back["requests"] == 6 and shelf.seen() == {APT: 4}


@pytest.mark.parametrize("head", [None, "{ no JSON", "[]", '{"units": {"ubuntu/noble": {}}, "objects": {}}'])
def test_head_is_lost(shelf, host, head):
    manifest = host.manifest(APT, 1)
    publish(shelf.store(), host, manifest, host.manifest(MINT, 1))
    shelf.edit("_publish/head.json", head) if head else shelf.kept.pop("_publish/head.json")
    assert {unit: live["serial"] for unit, live in insync_publish.live(shelf.store()).items()} == {APT: 1, MINT: 1}
    assert insync_bucket.drift(shelf.store(), {APT: manifest})["head"].endswith("corrupt" if head else "missing")
    store = shelf.store()
    wire = Wire(store)
    done = publish(store, host, host.manifest(APT, 2, ["1.0", "1.1"]))
    assert done["uploaded"] == 6 and shelf.seen() == {APT: 2, MINT: 1}
    assert not [line for line in wire.log if "1.0.deb" in line]
    assert {unit: live["serial"] for unit, live in insync_publish.live(store).items()} == {APT: 2, MINT: 1}


def test_what_was_there_before(shelf, host):
    """A bucket that another tool has filled: its packages stay, and its InRelease is replaced if ours is newer."""
    manifest = host.manifest(APT, 1)
    for key, entry in manifest.immutable.items():
        shelf.edit(key, host.path(entry["sha256"]).read_text())
    shelf.edit("ubuntu/dists/noble/InRelease", f"Origin: x\nDate: {formatdate(host.began + 5, usegmt=True)}\n")
    with pytest.raises(Refused, match="is live, and serial 1 of .* is not newer"):
        publish(shelf.store(), host, manifest)
    publish(shelf.store(), host, host.manifest(APT, 2, date=host.began + 6))
    assert shelf.seen() == {APT: 2}


def test_edited_by_hand(shelf, host):
    apt, yum = host.manifest(APT, 1), host.manifest(YUM, 1)
    publish(shelf.store(), host, apt, yum)
    assert insync_bucket.drift(shelf.store(), {APT: apt, YUM: yum}) == {}
    by_hash = next(key for key in apt.immutable if "by-hash" in key)
    deb = next(key for key in apt.immutable if key.endswith(".deb"))
    for key in (by_hash, deb, "ubuntu/dists/noble/InRelease", "fedora/41/notes"):
        shelf.edit(key, "by hand")
    del shelf.kept["fedora/41/repodata/repomd.xml"]
    assert insync_bucket.drift(shelf.store(), {APT: apt, YUM: yum, MINT: host.manifest(MINT, 7)}) == {
        "behind": {MINT: "serial none is live, serial 7 is current here"},
        "missing": ["fedora/41/repodata/repomd.xml"],
        "changed": sorted([by_hash, deb, "ubuntu/dists/noble/InRelease"]),
        "unknown": ["fedora/41/notes"],
    }
    assert publish(shelf.store(), host, apt, yum)["requests"] == 1
    assert publish(shelf.store(), host, apt, yum, repair=True)["uploaded"] == 4
    assert insync_bucket.drift(shelf.store(), {APT: apt, YUM: yum}) == {"unknown": ["fedora/41/notes"]}
    assert shelf.seen() == {APT: 1, YUM: 1}
    assert insync_publish.live(shelf.store())[APT]["by"] == "alice"


def test_a_file_of_all_units_changes(shelf, host):
    """The newest manifest says what it is; the others do not put the former one again."""
    old, new = {"insync.asc": host.entry("old key")}, {"insync.asc": host.entry("new key")}
    apt, mint = (dataclasses.replace(host.manifest(unit, 1), legacy=old) for unit in (APT, MINT))
    publish(shelf.store(), host, apt, mint)
    later = dataclasses.replace(host.manifest(APT, 2), legacy=new)
    publish(shelf.store(), host, later, mint)
    assert shelf.text("insync.asc") == "new key"
    assert publish(shelf.store(), host, later, mint)["requests"] == 1
    assert insync_bucket.drift(shelf.store(), {APT: later, MINT: mint}) == {}


def test_sweep(shelf, host):
    old, new, store = host.manifest(APT, 1, ["1.0"]), host.manifest(APT, 2, ["1.1"]), shelf.store()
    publish(store, host, old)
    publish(store, host, new)
    shelf.edit("ubuntu/pool/garbage.deb", "of a publication that was never finished")
    shelf.edit("insync.asc", "a key")
    shelf.age(31)
    shelf.edit("ubuntu/pool/new.deb", "of one that goes on")
    keep, before = [new], shelf.keys()
    gone = sorted({*old.immutable, "ubuntu/pool/garbage.deb"})
    told = insync_bucket.sweep(store, keep, 30)
    assert told["keys"] == gone and told["size"] > 0 and shelf.keys() == before
    assert insync_bucket.sweep(store, keep, 32)["keys"] == []
    assert insync_bucket.sweep(store, keep, 30, test=False) == told
    assert before.keys() - shelf.keys().keys() == set(gone)
    assert insync_bucket.drift(store, {APT: new}) == {"unknown": ["insync.asc", "ubuntu/pool/new.deb"]}
    publish(store, host, host.manifest(APT, 3, ["1.0", "1.1"]))
    assert shelf.seen() == {APT: 3}


def test_sweep_refuses_what_it_does_not_know(shelf, host):
    manifest = host.manifest(APT, 1)
    publish(shelf.store(), host, manifest, host.manifest(MINT, 1))
    shelf.age(99)
    before = shelf.keys().keys()
    # A server that was made anew, or that is behind, would take what customers are led to for garbage.
    for mint in ([], [host.manifest(MINT, 2)], [host.manifest(MINT, 1, ["0.9"])]):
        with pytest.raises(Refused, match="mint/xia: what is live is not retained here; run sync_repos first"):
            insync_bucket.sweep(shelf.store(), [manifest, *mint], 30, test=False)
    shelf.edit("_publish/head.json", "")
    with pytest.raises(Refused, match="missing or corrupt"):
        insync_bucket.sweep(shelf.store(), [manifest], 30, test=False)
    assert shelf.keys().keys() == before


def test_what_is_swept_while_it_is_published_is_put_again(shelf, host):
    middle = host.manifest(APT, 2, ["1.1"])
    publish(shelf.store(), host, host.manifest(APT, 1, ["1.0"]))
    publish(shelf.store(), host, middle)
    shelf.age(99)
    store = shelf.store()
    wire = Wire(store)
    wire.fail("first_somebody_else", 2)
    wire.somebody_else = lambda: insync_bucket.sweep(shelf.store(), [middle], 30, test=False)
    publish(store, host, host.manifest(APT, 3, ["1.0"]))
    assert shelf.seen() == {APT: 3}
