"""What goes into a store and comes out of it, and many requests at once."""

import base64
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io

WORKERS = 16
# A larger file is not read into memory, and the store may refuse it before it is sent.
LARGE = 8 * 2**20


@dataclasses.dataclass(frozen=True)
class Object:
    """An object as the store tells it; ``body`` is None if it was not asked for or has not changed."""

    key: str
    etag: str
    size: int
    modified: float
    meta: dict = dataclasses.field(default_factory=dict)
    body: bytes | None = None

    @property
    def sha256(self):
        """The checksum that was recorded with it (str), None if there is none."""
        return self.meta.get("sha256")

    @classmethod
    def of(cls, key, answer, body=None):
        """Return the Object ``key`` (str) of an ``answer`` (dict) of boto3 to GET or HEAD."""
        modified, meta = answer["LastModified"].timestamp(), answer["Metadata"]
        return cls(key, answer["ETag"].strip('"'), answer["ContentLength"], modified, meta, body)


class Content:
    """What is put: bytes, or a file that stays on the disk if it is large."""

    def __init__(self, body):
        """body (bytes or pathlib.Path). Raises OSError."""
        small = isinstance(body, bytes) or body.stat().st_size < LARGE
        self._bytes = body if isinstance(body, bytes) else body.read_bytes() if small else None
        self._path = body

    @contextlib.contextmanager
    def opened(self):
        """Yield what boto3 takes as a body."""
        if self._bytes is not None:
            yield self._bytes
        else:
            with self._path.open("rb") as file:
                yield file

    def sha256(self):
        """Return its checksum (str)."""
        return self._digest("sha256").hex()

    def md5(self):
        """Return the value of the header Content-MD5 (str)."""
        return base64.b64encode(self._digest("md5")).decode()

    def etag(self):
        """Return the ETag (str) that it has once it was put."""
        return self._digest("md5").hex()

    def _digest(self, kind):
        with self.opened() as body:
            file = io.BytesIO(body) if isinstance(body, bytes) else body
            return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=kind != "md5")).digest()


def parallel(function, items):
    """
    Return [function(item) for each of ``items``], at most 16 at once.

    Raises what the first one that fails raises; those that have not begun by then do not begin.
    """
    items = list(items)
    if len(items) < 2:
        return [function(item) for item in items]
    with concurrent.futures.ThreadPoolExecutor(min(WORKERS, len(items))) as pool:
        running = [pool.submit(function, item) for item in items]
        try:
            for future in concurrent.futures.as_completed(running):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
        return [future.result() for future in running]
