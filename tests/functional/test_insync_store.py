"""The store: each way to fail is one line that names the cause; conditional writes are proved before they are used."""

import datetime
import socket
import ssl
import threading

import insync_publish
import insync_store_probe
import pytest
from insync_store import Store
from insync_store_errors import Conflict, StoreError

from tests.functional.publishing import APT, KEY, SECRET, Bucket, Host, Shelf, Wire, publish


@pytest.fixture(scope="module")
def bucket(s3_url):
    return Bucket(s3_url, "insync_store")


def test_objects(bucket, tmp_path):
    """With names as packages have them; large ones are read from the disk."""
    store, key = bucket.store(), "pool/insync_1:3.9+git~rc1_amd64.deb"
    assert store.get(key) is None and store.head(key) is None
    large = tmp_path / "large"
    large.write_bytes(b"x" * (9 * 2**20))
    etag = store.put_new(key, large, cache="no-cache", meta={"serial": "7"})
    with pytest.raises(Conflict):
        store.put_new(key, b"other")
    with pytest.raises(Conflict):
        store.replace(key, b"other", etag[::-1])
    with pytest.raises(Conflict):
        store.replace("nothing", b"other", etag)
    there = store.head(key)
    assert (there.etag, there.size, there.meta["serial"]) == (etag, 9 * 2**20, "7") and '"' not in etag
    assert b"".join(store.read(key)) == large.read_bytes()
    etag = store.replace(key, b"new", etag)
    assert store.get(key).body == b"new" and store.get(key, etag).body is None
    assert store.list("pool/")[key].etag == etag
    store.delete(key)
    store.delete(key)
    assert store.get(key) is None


def test_what_goes_over_the_wire(bucket):
    store, sent = bucket.store(), []
    wire = Wire(store)
    forward, wire.forward = wire.forward, lambda request: (sent.append(request), forward(request))[1]
    store.replace("a", b"2", store.put("a", b"1"))
    assert store.requests == len(sent) == 2
    request = sent[1]
    assert "/insync_store/a" in request.url
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["content-md5"] == b"yB5yjZ1ML2NvBn+JzBSGLA==" and b"AWS4-HMAC-SHA256" in headers["authorization"]
    # Ceph answers 412 to quotes and 411 to a checksum behind the body; to wait for 100 is a round trip more.
    assert b'"' not in headers["if-match"]
    assert not [name for name in headers if name.startswith(("x-amz-checksum", "x-amz-trailer", "expect"))]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((404, "NoSuchBucket"), "the bucket does not exist"),
        ((403, "AccessDenied"), "access is denied"),
        ((403, "SignatureDoesNotMatch", (), None, SECRET), "the secret does not belong to the key"),
        ((403, "InvalidAccessKeyId"), "the key is not known there"),
        ((403, "RequestTimeTooSkewed"), "the clock of this server is off"),
        ((400, "AccessControlListNotSupported"), "the bucket allows no ACL"),
        ((400, "BadDigest"), "damaged on its way"),
        ((507, "QuotaExceeded", (), None, "no\nroom"), "it answers 507 QuotaExceeded no room"),
    ],
)
def test_refusals_are_named(reply, said):
    store = Shelf().store()
    wire = Wire(store)
    wire.reply = reply
    wire.fail("canned", 1)
    for attempt in (lambda: store.get("a"), lambda: store.put_new("a", b""), lambda: store.list()):
        with pytest.raises(StoreError, match=said) as caught:
            attempt()
        line = str(caught.value)
        assert len(line.splitlines()) == 1 and SECRET not in line and " shelf at http://127.0.0.1:9: " in line
    wire.reply = (reply[0], "", (), b"")
    with pytest.raises(StoreError) if reply[0] != 404 else pytest.raises(AssertionError):
        assert store.head("a")


def test_a_missing_bucket(s3_url):
    with pytest.raises(StoreError, match=r"GET _publish/head.json from nowhere at .*: the bucket does not exist"):
        insync_publish.live(Store("nowhere", KEY, SECRET, endpoint=s3_url))


def test_a_bucket_name_or_endpoint_that_cannot_be():
    with pytest.raises(StoreError, match="x y"):
        Store("x y", KEY, SECRET, endpoint="http://127.0.0.1:9").get("a")
    with pytest.raises(StoreError, match="Invalid endpoint"):
        Store("x", KEY, SECRET, endpoint="no url")


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_nothing_answers(listening):
    port = listening.getsockname()[1]
    with pytest.raises(StoreError, match="it does not answer in time"):
        Store("x", KEY, SECRET, endpoint=f"http://127.0.0.1:{port}", seconds=0.1).get("a")
    listening.close()
    with pytest.raises(StoreError, match="connection refused"):
        Store("x", KEY, SECRET, endpoint=f"http://127.0.0.1:{port}").get("a")
    with pytest.raises(StoreError, match="its name is not known"):
        Store("x", KEY, SECRET, endpoint="http://store.invalid").get("a")


def test_a_certificate_that_nobody_vouches_for(listening, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))

    def serve():
        while True:
            try:
                with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
                    connection.recv(10000)
                    connection.send(
                        b"HTTP/1.1 404 x\r\nContent-Length: 40\r\n\r\n<Error><Code>NoSuchKey</Code></Error>    "
                    )
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    endpoint = f"https://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(StoreError, match="its certificate is not accepted"):
        Store("x", KEY, SECRET, endpoint=endpoint, attempts=1).get("a")
    assert Store("x", KEY, SECRET, endpoint=endpoint, ca=str(tmp_path / "pem"), attempts=1).get("a") is None


def _certificate(folder):
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "s3")])
    now, address = datetime.datetime.now(datetime.UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - datetime.timedelta(1), now + datetime.timedelta(1)
    )
    made = made.add_extension(x509.SubjectAlternativeName([address]), False).sign(key, hashes.SHA256())
    kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "pem").write_bytes(key.private_bytes(*kind) + made.public_bytes(kind[0]))
    return folder / "pem"


def test_conditional_writes_are_proved_once(bucket, tmp_path):
    host, store = Host(tmp_path / "host"), bucket.store()
    wire = Wire(store)
    first = publish(store, host, host.manifest(APT, 1))
    probes = [line for line in wire.log if "probe" in line or "versioning" in line]
    assert len(probes) == 5 and not [key for key in bucket.keys() if "probe" in key]
    wire.heal()
    assert first["requests"] == 5 + 9 and publish(store, host, host.manifest(APT, 2))["requests"] == 6
    assert not [line for line in wire.log if "probe" in line or "versioning" in line]


def test_a_store_without_conditional_writes_is_refused(tmp_path):
    shelf, host = Shelf(), Host(tmp_path / "host")
    store = shelf.store()
    Wire(store).fail("unconditional", 1)
    with pytest.raises(StoreError, match="a store without conditional writes, it accepts a second If-None-Match"):
        publish(store, host, host.manifest(APT, 1))
    assert shelf.keys() == {}
    single = shelf.store(single_writer=True)
    Wire(single).fail("unconditional", 1)
    publish(single, host, host.manifest(APT, 1))
    publish(single, host, host.manifest(APT, 2, ["1.0", "1.1"]))
    assert shelf.seen() == {APT: 2}
    with pytest.raises(Conflict):
        single.put_new("_publish/head.json", b"")


def test_a_bucket_that_keeps_versions_is_refused(s3_url):
    bucket = Bucket(s3_url, "insync_versions")
    insync_store_probe.check(bucket.store())
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(StoreError, match="the bucket keeps versions.* single_writer: True"):
        insync_store_probe.check(bucket.store())
