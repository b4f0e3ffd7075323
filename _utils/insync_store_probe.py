"""Whether a store keeps its word about conditional writes, on which everything depends when two publish at once."""

import secrets

from insync_store_errors import Conflict, StoreError

REMEDY = "say single_writer: True in pillar if nobody else writes there"


def check(store):
    """
    Write and delete a probe object in ``store`` (insync_store.Store); five requests, none if it has a single writer.

    Raises StoreError if it writes what it should refuse, or keeps versions, with which Ceph lets every writer win.
    """
    if store.single_writer:
        return
    if store.versioned():
        raise StoreError(f"{store.name}: the bucket keeps versions, with which all writers win a race; {REMEDY}")
    key = f"_publish/probe-{secrets.token_hex(8)}"
    etag = store.put_new(key, b"1", acl=None)
    try:
        _refused(store, "a second If-None-Match: *", lambda: store.put_new(key, b"2", acl=None))
        _refused(store, "a stale If-Match", lambda: store.replace(key, b"3", etag[::-1], acl=None))
    finally:
        store.delete(key)


def _refused(store, what, attempt):
    try:
        attempt()
    except Conflict:
        return
    raise StoreError(f"{store.name}: a store without conditional writes, it accepts {what}; {REMEDY}")
