"""Publishing to moto's S3 server: what goes up in which order, and what is live whenever and however it ends."""

import itertools

import insync_bucket
import insync_publish
import pytest
from insync_store_errors import StoreError

from tests.functional.publishing import APT, MINT, YUM, Bucket, Host, Shelf, Wire, publish

NUMBERS = itertools.count()


@pytest.fixture
def bucket(s3_url):
    return Bucket(s3_url, f"insync_apt_{next(NUMBERS)}")


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "host")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Retries do not wait."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


def test_first_publication_and_what_clients_are_told(bucket, host):
    store, said = bucket.store(), []
    first = host.manifest(APT, 1), host.manifest(YUM, 1)
    done = publish(store, host, *first, say=said.append)
    assert done["published"] == {APT: 1, YUM: 1}
    assert bucket.seen() == {APT: 1, YUM: 1}
    assert done["uploaded"] == len(bucket.keys()) - 1
    assert "ubuntu/noble: serial 1 is live" in said
    for key, cache in (
        ("ubuntu/pool/non-free/i/insync/insync_1.0.deb", "public, max-age=31536000, immutable"),
        ("ubuntu/dists/noble/InRelease", "no-cache"),
        ("fedora/41/mirrorlist", "no-cache"),
        ("fedora/41/repodata/repomd.xml", "no-cache"),
        ("_publish/head.json", "no-cache"),
    ):
        assert bucket.client.head_object(Bucket=bucket.name, Key=key)["CacheControl"] == cache
        grants = bucket.client.get_object_acl(Bucket=bucket.name, Key=key)["Grants"]
        assert any("AllUsers" in str(grant) for grant in grants) is not key.startswith("_publish/")
    live = insync_publish.live(store)[APT]
    assert (live["serial"], live["by"], live["packages"]) == (1, "alice", {"insync": ["1.0"]})


def test_requests(bucket, host):
    """They are what a publication costs: 30 ms each, elsewhere."""
    store, many = bucket.store(), [f"file-{number}" for number in range(200)]
    old, same = host.manifest(APT, 1, more=many), host.manifest(MINT, 1)
    publish(store, host, old, same)
    assert publish(store, host, old, same) == {"published": {}, "uploaded": 0, "requests": 1}
    assert publish(bucket.store(), host, old, same)["requests"] == 1
    new = host.manifest(APT, 2, ("1.0", "1.1"), more=many)
    assert publish(store, host, new, same) == {"published": {APT: 2}, "uploaded": 6, "requests": 8}
    plain = host.manifest(MINT, 2, ("1.0",), more=["a", "b", "c", "d"])
    plain = plain.__class__(**{**plain.__dict__, "legacy": {}})
    assert publish(store, host, new, plain) == {"published": {MINT: 2}, "uploaded": 5, "requests": 7}
    assert bucket.seen() == {APT: 2, MINT: 2}


def test_order(bucket, host):
    store = bucket.store()
    publish(store, host, host.manifest(APT, 1), host.manifest(YUM, 1))
    wire = Wire(store)
    publish(store, host, host.manifest(APT, 2, ("1.0", "1.1")), host.manifest(YUM, 2, ("1.0", "1.1")))
    kinds = [_kind(line.split("?")[0]) for line in wire.log[1:]]
    assert kinds == sorted(kinds, key=["immutable", "commit", "pair", "legacy", "head"].index)
    assert set(kinds) == {"immutable", "commit", "pair", "legacy", "head"}


def _kind(line):
    ends = {"head": "head.json", "commit": ("InRelease", "mirrorlist"), "pair": ("41/repodata/repomd.xml", ".asc")}
    found = [kind for kind, end in ends.items() if line.endswith(end)]
    return found[0] if found else "legacy" if line.endswith(("Release", ".gpg", "Packages.gz")) else "immutable"


def test_looking_only(bucket, host):
    store, manifest = bucket.store(), host.manifest(APT, 1)
    told = publish(store, host, manifest, test=True)
    assert told["published"] == {APT: 1}
    assert set(told["keys"]) == {*manifest.immutable, *manifest.commit, *manifest.legacy}
    assert bucket.keys() == {} and not host.memory.exists()


DEAD = ("dead_before", "dead_after", "clipped_once")
ONCE = ("cut_once", "slow_once", "e500_once", "e503_once", "done_but_500")


@pytest.mark.parametrize("fault", [*DEAD, *ONCE])
def test_every_request_may_fail(host, fault):
    """After each the live state is whole, and another run completes it; what can be tried again is."""
    shelf, units, failed = Shelf(), (APT, YUM), 0
    store = shelf.store()
    wire = Wire(store)
    publish(store, host, *(host.manifest(unit, 1) for unit in units))
    former, memory = dict(shelf.kept), host.memory.read_text()
    new = [host.manifest(unit, 2, ("1.0", "1.1")) for unit in units]
    for at in itertools.count(1):
        shelf.kept = dict(former)
        host.memory.write_text(memory)
        wire.fail(fault, at)
        try:
            publish(store, host, *new)
        except StoreError as exc:
            failed += 1
            assert len(str(exc).splitlines()) == 1
        if len(wire.log) < at:
            break
        wire.heal()
        seen = shelf.seen()
        assert set(seen) == set(units) and set(seen.values()) <= {1, 2}, at
        publish(store, host, *new)
        assert shelf.seen() == dict.fromkeys(units, 2), at
        assert insync_bucket.drift(store, {manifest.unit: manifest for manifest in new}) == {}, at
        assert publish(store, host, *new)["requests"] == 1, at
    assert at == 15
    assert failed == (0 if fault in ONCE else at - 2 if fault == "clipped_once" else at - 1)
