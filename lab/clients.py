"""The builds of the desktop client that wait to be released, in the object store and on the download site."""

import hashlib

from lab import client_packages, podman, s3

BUILDS = "insync_builds"
DOWNLOADS = "insync_cdn"


def publish(lab, progress):
    """
    Build the versions that lab.yaml names and offer them; quick when all is there.

    lab (dict): what lab.yaml says.
    progress (Progress): told how much was uploaded.
    """
    versions = lab["client_versions"]
    built = client_packages.build(versions)
    with podman.network("cloud"):
        uploaded = offer(s3.client(), built, versions)
    if uploaded:
        progress.say(f"cloud: {uploaded} files of the client's builds wait to be released")


def offer(store, folder, versions):
    """
    Put the builds of ``versions`` (list of str) where the release commands look for them; what is there stays.

    store: as s3.client returns it.
    folder (pathlib.Path): as client_packages.build returns it.
    Returns how many files were uploaded.
    """
    return sum(_put(store, bucket, files) for bucket, files in _wanted(folder, versions).items())


def _wanted(folder, versions):
    """Return {bucket: {key: path}}."""
    builds = {f"{version}/{path.name}": path for version in versions for path in sorted((folder / version).iterdir())}
    downloads = {
        f"builds/{platform}/{name.format(version=version)}": folder / version / name.format(version=version)
        for version in versions
        for platform, name in client_packages.INSTALLERS.items()
    }
    return {BUILDS: builds, DOWNLOADS: downloads}


def _put(store, bucket, files):
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    there = {entry["Key"]: entry["ETag"].strip('"') for page in pages for entry in page.get("Contents", [])}
    missing = {key: path for key, path in files.items() if there.get(key) != _etag(path)}
    for key, path in missing.items():
        acl = "public-read" if bucket == DOWNLOADS else "private"
        store.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL=acl)
    return len(missing)


def _etag(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
