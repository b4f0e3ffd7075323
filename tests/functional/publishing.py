"""Manifests as the local repositories have them, buckets to publish them to, and a wire between that fails on order."""

import base64
import hashlib
import io
import json
import threading
import time
import urllib.parse
from email.utils import formatdate

import boto3
import botocore.awsrequest
import botocore.exceptions
import insync_publish
import insync_store
from insync_manifest import Manifest

APT, MINT, YUM = "ubuntu/noble", "mint/xia", "fedora/41"
KEY, SECRET = "the-key", "the-secret-of-the-key"


class Host:
    """A server that publishes: its objects, its memory, and how it makes a manifest."""

    began = int(time.time()) - 10**6

    def __init__(self, folder, by="alice"):
        folder.mkdir(exist_ok=True)
        self.folder, self.by, self.memory = folder, by, folder / "memory.json"

    def path(self, sha256):
        return self.folder / sha256

    def entry(self, text):
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.path(sha256).write_text(text)
        return {"sha256": sha256, "size": len(text.encode())}

    def manifest(self, unit, serial, versions=("1.0",), more=(), date=None, packages=None):
        """apt has a suite's InRelease, yum a release's mirrorlist; both say in clear what they vouch for."""
        family, release = unit.split("/")
        yum, date, versions = family == "fedora", date or self.began + serial, list(versions)
        end = "rpm" if yum else "deb"
        pool = f"{unit}/Packages" if yum else f"{family}/pool/non-free/i/insync"
        immutable = {f"{pool}/insync_{one}.{end}": self.entry(f"{end} {one}") for one in versions}
        immutable |= {f"{pool}/{name}": self.entry(f"content of {name}") for name in more}
        index = self.entry(f"{unit} has {versions}")
        where = f"{unit}/snapshots/{serial}/repodata" if yum else f"{family}/dists/{release}/non-free/binary-amd64"
        name = f"{index['sha256']}-primary.xml.gz" if yum else f"by-hash/SHA256/{index['sha256']}"
        immutable[f"{where}/{name}"] = index
        needs = {key: entry["sha256"] for key, entry in immutable.items()}
        signed = self.entry(json.dumps({"unit": unit, "serial": serial, "date": date, "by": self.by, "needs": needs}))
        if yum:
            immutable |= {f"{where}/repomd.xml": signed}
            pair = {
                f"{unit}/repodata/{name}": self.entry(f"{name} {serial}") for name in ("repomd.xml", "repomd.xml.asc")
            }
            commit, legacy = {f"{unit}/mirrorlist": self.entry(f"http://yum.example/{where}/repomd.xml")}, {}
        else:
            at, pair, commit = f"{family}/dists/{release}", {}, {f"{family}/dists/{release}/InRelease": signed}
            legacy = {f"{at}/{name}": self.entry(f"{name} {unit} {serial}") for name in ("Release", "Release.gpg")}
            legacy |= {f"{where}/Packages.gz": self.entry(f"gz {unit} {serial}")}
        packages = packages or {"insync": versions}
        facts = {"date": date, "by": self.by, "what": f"update {versions[-1]}", "packages": packages}
        return Manifest(
            unit.split("/")[0], unit, serial, **facts, immutable=immutable, commit=commit, pair=pair, legacy=legacy
        )


def publish(store, host, *manifests, **options):
    """Publish ``manifests`` from ``host``."""
    units = {manifest.unit: manifest for manifest in manifests}
    return insync_publish.publish(store, units, host.path, host.memory, **options)


class Wire:
    """Stands where boto3 sends its requests: notes each, and may fail. One at a time reaches moto, as it needs."""

    serve = threading.Lock()

    def __init__(self, store):
        self.endpoint = store._client._endpoint
        self.real, self.count = self.endpoint.http_session, threading.Lock()
        self.endpoint.http_session = self
        self.heal()

    def heal(self):
        self.log, self.fault, self.at = [], None, 0

    def fail(self, fault, at):
        """The request number ``at`` (int, from 1) meets ``fault``, a method's name."""
        self.log, self.fault, self.at = [], getattr(self, fault), at

    def send(self, request):
        with self.count:
            self.log.append(f"{request.method} {request.url.split('/', 4)[-1]}")
            number = len(self.log)
        return self.fault(request, number) if self.fault and number >= self.at else self.forward(request)

    def forward(self, request):
        with self.serve:
            return self.real.send(request)

    def close(self):
        self.real.close()

    def dead_before(self, request, number):
        raise botocore.exceptions.ConnectionClosedError(endpoint_url=request.url)

    def dead_after(self, request, number):
        if number == self.at:
            self.forward(request)
        raise botocore.exceptions.ConnectionClosedError(endpoint_url=request.url)

    def cut_once(self, request, number):
        return self.dead_after(request, number) if number == self.at else self.forward(request)

    def slow_once(self, request, number):
        answer = self.forward(request)
        if number == self.at:
            raise botocore.exceptions.ReadTimeoutError(endpoint_url=request.url)
        return answer

    def e500_once(self, request, number):
        return answer(500, "InternalError") if number == self.at else self.forward(request)

    def e503_once(self, request, number):
        return answer(503, "SlowDown") if number == self.at else self.forward(request)

    def done_but_500(self, request, number):
        """What was asked for is done, and each answer to it is 500, so that no retry helps."""
        if number == self.at:
            self.forward(request)
            self.unlucky = request.url, request.method
        same = (request.url, request.method) == getattr(self, "unlucky", None)
        return answer(500, "InternalError") if same and request.method == "PUT" else self.forward(request)

    def clipped_once(self, request, number):
        if number == self.at and request.method == "PUT":
            body = _body(request)[:-1]
            request.body, request.headers["Content-Length"] = io.BytesIO(body), str(len(body))
        return self.forward(request)

    def first_somebody_else(self, request, number):
        """Before that request somebody else is at it."""
        if number == self.at:
            self.somebody_else()
        return self.forward(request)

    def canned(self, request, number):
        """Each request is answered the same."""
        return answer(*self.reply)

    def unconditional(self, request, number):
        """A store that does not know conditions."""
        for name in ("If-Match", "If-None-Match"):
            if name in request.headers:
                del request.headers[name]
        return self.forward(request)


class _Raw:
    def __init__(self, body):
        self._file = io.BytesIO(body)
        self.read = self._file.read

    def stream(self, amount=None, decode_content=None):
        yield self._file.read()


def answer(status, code="", headers=(), body=None, said=""):
    body = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>".encode() if body is None else body
    headers = {"date": formatdate(usegmt=True), **dict(headers)}
    return botocore.awsrequest.AWSResponse("http://x", status, headers, _Raw(body))


class View:
    """A bucket as the world sees it, beside the store that is tested; needs keys(), text(key)."""

    def seen(self):
        """What clients see, {unit: serial}; each of them finds all that what it reads first vouches for."""
        found = {}
        for key in self.keys():
            if key.endswith(("/InRelease", "/mirrorlist")):
                text = self.text(key)
                text = self.text(text.split("/", 3)[3]) if key.endswith("/mirrorlist") else text
                signed = json.loads(text)
                for needed, sha256 in signed["needs"].items():
                    assert hashlib.sha256(self.text(needed).encode()).hexdigest() == sha256, (key, needed)
                found[signed["unit"]] = signed["serial"]
        return found


class Bucket(View):
    """One of moto's server."""

    def __init__(self, endpoint, name):
        account = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        self.client = boto3.session.Session().client("s3", endpoint_url=endpoint, **account)
        self.endpoint, self.name = endpoint, name
        self.client.create_bucket(Bucket=name)

    def store(self, **options):
        return insync_store.Store(self.name, KEY, SECRET, endpoint=self.endpoint, **options)

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", ())}

    def text(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read().decode()


class Shelf(View):
    """One in this process, for what takes many requests; it looks at Content-MD5, which moto does not."""

    def __init__(self):
        self.kept, self.lock = {}, threading.Lock()

    def store(self, **options):
        store = insync_store.Store("shelf", KEY, SECRET, endpoint="http://127.0.0.1:9", **options)
        store._client._endpoint.http_session = self
        return store

    def keys(self):
        return dict(self.kept)

    def text(self, key):
        return self.kept[key][0].decode()

    def edit(self, key, text):
        body = text.encode() if isinstance(text, str) else text
        self.kept[key] = body, {"etag": f'"{hashlib.md5(body).hexdigest()}"', "last-modified": formatdate(usegmt=True)}

    def age(self, days):
        for _, headers in self.kept.values():
            headers["last-modified"] = formatdate(time.time() - days * 86400, usegmt=True)

    def send(self, request):
        key = urllib.parse.unquote(request.url.split("?")[0].split("/", 4)[4]) if request.url.count("/") > 3 else ""
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        with self.lock:
            return getattr(self, f"_{request.method.lower()}")(key, headers, _body(request))

    def close(self):
        pass

    def _get(self, key, headers, _):
        if not key:
            return answer(200, body=self._listing())
        if key not in self.kept:
            return answer(404, "NoSuchKey")
        body, kept = self.kept[key]
        if headers.get("if-none-match") == kept["etag"].strip('"'):
            return answer(304, headers=kept, body=b"")
        return answer(200, headers={**kept, "content-length": str(len(body))}, body=body)

    def _head(self, key, headers, _):
        found = self._get(key, {}, b"")
        return answer(found.status_code, headers=found.headers, body=b"")

    def _put(self, key, headers, body):
        there = self.kept.get(key)
        etag = there[1]["etag"].strip('"') if there else None
        if there and ("if-none-match" in headers or headers.get("if-match", etag) != etag):
            return answer(412, "PreconditionFailed")
        if not there and "if-match" in headers:
            return answer(404, "NoSuchKey")
        if headers["content-md5"] != base64.b64encode(hashlib.md5(body).digest()).decode():
            return answer(400, "BadDigest")
        self.edit(key, body)
        self.kept[key][1].update({name: value for name, value in headers.items() if name.startswith("x-amz-meta-")})
        return answer(200, headers={"etag": self.kept[key][1]["etag"]}, body=b"")

    def _delete(self, key, headers, _):
        self.kept.pop(key, None)
        return answer(204, body=b"")

    def _listing(self):
        item = "<Contents><Key>{}</Key><ETag>{}</ETag><Size>{}</Size><LastModified>{}</LastModified></Contents>"
        found = [item.format(k, h["etag"], len(b), h["last-modified"]) for k, (b, h) in sorted(self.kept.items())]
        return f"<ListBucketResult>{''.join(found)}</ListBucketResult>".encode()


def _body(request):
    body = request.body or b""
    if hasattr(body, "read"):
        body.seek(0)
        body = body.read()
    return body


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
