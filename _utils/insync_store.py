"""One bucket of an S3 store: AWS, DigitalOcean Spaces or Ceph, with conditional writes."""

import contextlib
import email.utils
import functools
import threading

import insync_store_errors as errors
from insync_store_errors import StoreError
from insync_store_parts import LARGE, WORKERS, Content, Object


class Store:
    """A bucket; may be used by several threads at once."""

    def __init__(self, bucket, key, secret, endpoint=None, region=None, ca=None, single_writer=False, **options):
        """
        bucket, key, secret (str): its name, and the credentials.
        endpoint, region (str): where it is; AWS and us-east-1 if not given.
        ca (str): file with the certificate of the authority that vouches for the endpoint.
        single_writer (bool): nobody else writes there, a store without conditional writes is good enough.
        options: acl (str, default ``public-read``; None for none), seconds (float) that an answer is waited for, and
            attempts (int): each request fails within 50 s by default.
        Raises StoreError if one of them cannot be right.
        """
        # Only ct1 has boto3, and only what publishes waits until it is loaded.
        import boto3
        import botocore.config
        import botocore.exceptions
        import botocore.session

        self.bucket, self.single_writer, self.acl = bucket, single_writer, options.get("acl", "public-read")
        self.name = f"{bucket} at {endpoint or 'AWS'}"
        self.requests, self.clock, self._lock = 0, None, threading.Lock()
        self._failures = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
        seconds = options.get("seconds", 15)
        config = botocore.config.Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=min(5, seconds),
            read_timeout=seconds,
            retries={"mode": "standard", "total_max_attempts": options.get("attempts", 3)},
            max_pool_connections=2 * WORKERS,
            # Ceph answers 411 to the checksums that boto3 adds by itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        where = {"endpoint_url": endpoint, "region_name": region or "us-east-1", "verify": ca, "config": config}
        try:
            base = botocore.session.get_session()
            base.register_component("data_loader", _loader())
            session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, botocore_session=base)
            self._client = session.client("s3", **where)
        except (ValueError, *self._failures) as exc:
            raise StoreError(f"{self.name}: {' '.join(str(exc).split())[:200]}") from exc
        self._client.meta.events.register("before-send.s3", self._before)
        self._client.meta.events.register("after-call.s3", self._read_clock)

    def get(self, key, etag=None):
        """
        Return the Object ``key`` (str) with its body, None if there is none; no body if it still has ``etag`` (str).

        Raises StoreError, as everything here does.
        """
        asked = {"IfNoneMatch": etag} if etag else {}
        with self._told(f"GET {key} from"):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=key, **asked)
                return Object.of(key, answer, answer["Body"].read())
            except self._failures as exc:
                if _status(exc) == 304:
                    return Object(key, etag, 0, 0)
                if _code(exc) != "NoSuchKey":
                    raise
        return None

    def head(self, key):
        """Return the Object ``key`` (str), None if there is none."""
        with self._told(f"HEAD {key} from"):
            try:
                return Object.of(key, self._client.head_object(Bucket=self.bucket, Key=key))
            except self._failures as exc:
                if _status(exc) != 404:
                    raise
        return None

    def read(self, key):
        """Yield the content of the object ``key`` (str) piece by piece (bytes)."""
        with self._told(f"GET {key} from"):
            yield from self._client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(2**20)

    def list(self, prefix=""):
        """Return {key: Object} of all objects whose key begins with ``prefix`` (str). One request for each 1,000."""
        with self._told(f"LIST {prefix or 'all'} of"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            found = [item for page in pages for item in page.get("Contents", ())]
        made = [Object(i["Key"], i["ETag"].strip('"'), i["Size"], i["LastModified"].timestamp()) for i in found]
        return {item.key: item for item in made}

    def delete(self, key):
        """Delete the object ``key`` (str), if it is there."""
        with self._told(f"DELETE {key} from"):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def versioned(self):
        """Return whether the bucket keeps versions (bool)."""
        with self._told("GET the versioning of"):
            return self._client.get_bucket_versioning(Bucket=self.bucket).get("Status") == "Enabled"

    def put(self, key, body, sha256=None, **more):
        """
        Write the object ``key`` (str), whatever is there; return its ETag (str).

        body (bytes or pathlib.Path): what is in it; sha256 (str): what it has to be.
        more: cache (str, the header Cache-Control), type (str, the media type), meta ({str: str}), acl (str or None).
        Raises StoreError; Conflict (a StoreError) only by the other two.
        """
        return self._put(key, body, sha256, more, {})

    def put_new(self, key, body, sha256=None, **more):
        """Like ``put``, but raises Conflict if the object is there."""
        return self._put(key, body, sha256, more, {"IfNoneMatch": "*"})

    def replace(self, key, body, etag, sha256=None, **more):
        """Like ``put``, but raises Conflict if what is there does not have ``etag`` (str)."""
        return self._put(key, body, sha256, more, {"IfMatch": etag})

    def _put(self, key, body, sha256, more, condition):
        content = Content(body)
        meta = {"sha256": content.sha256(), **more.get("meta", {})}
        if sha256 not in (None, meta["sha256"]):
            raise StoreError(f"{body}: it is damaged on this disk, its checksum is not {sha256}; mend it first")
        acl, headers = more.get("acl", self.acl), {"ContentType": more.get("type"), "CacheControl": more.get("cache")}
        headers = {name: value for name, value in {**headers, "ACL": acl}.items() if value}
        if self.single_writer and condition:
            condition = self._compared(key, condition)
        try:
            with self._told(f"PUT {key} to"), content.opened() as opened:
                put = {"Bucket": self.bucket, "Key": key, "Body": opened, "ContentMD5": content.md5(), "Metadata": meta}
                return self._client.put_object(**put, **headers, **condition)["ETag"].strip('"')
        except errors.Failed as exc:
            if not condition:
                raise
            return self._settled(key, meta, condition, exc)

    def _compared(self, key, condition):
        # The store may not know conditions; with nobody else who writes, looking first is as good.
        there = self.head(key)
        if (there and there.etag) != condition.get("IfMatch"):
            raise errors.Conflict(f"PUT {key} to {self.name}: there is something else than expected")
        return {}

    def _settled(self, key, meta, condition, exc):
        # A race that is lost is a 500 on Ceph at times, and a write may have been done before the store failed.
        there = self.head(key)
        if there and there.meta == meta:
            return there.etag
        if (there and there.etag) == condition.get("IfMatch"):
            raise exc
        raise errors.Conflict(str(exc)) from exc

    @contextlib.contextmanager
    def _told(self, what):
        try:
            yield
        except self._failures as exc:
            if what.startswith("PUT") and _code(exc) == "NoSuchKey":
                raise errors.Conflict(f"{what} {self.name}: somebody else has removed it (404)") from exc
            raise errors.named(exc, f"{what} {self.name}") from exc

    def _before(self, request, **_):
        with self._lock:
            self.requests += 1
        # To ask whether a small one may be sent takes as long as sending it.
        if int(request.headers.get("Content-Length", 0)) < LARGE:
            request.headers.pop("Expect", None)

    def _read_clock(self, http_response, **_):
        with contextlib.suppress(KeyError, ValueError):
            self.clock = email.utils.parsedate_to_datetime(http_response.headers["date"]).timestamp()


@functools.cache
def _loader():
    """What boto3 reads about all of AWS: that takes longer than a request, and for each Store again by itself."""
    import botocore.loaders

    return botocore.loaders.create_loader()


def _status(exc):
    return errors.answered(exc).get("ResponseMetadata", {}).get("HTTPStatusCode")


def _code(exc):
    return errors.answered(exc).get("Error", {}).get("Code")
