"""The stand-ins of the desktop client: real packages, real signatures, and what is offered of them."""

import hashlib
import io
import subprocess
import tarfile

import pytest

from lab import client_packages, clients, pgp
from lab.client_packages import PACKAGES

VERSIONS = ["3.9.6.60027", "3.9.7.60031"]
NEW = VERSIONS[1]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def run_bytes(*command, stdin):
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(keys, builds): the folder of the keys, and that of the versions."""
    keys, cache = tmp_path_factory.mktemp("keys"), tmp_path_factory.mktemp("cache")
    return keys, client_packages.build(VERSIONS, cache, keys)


def test_a_version_has_the_packages_of_every_platform_and_their_sums(made):
    folder = made[1] / NEW
    files = {f"{name}_{NEW}_amd64.deb" for name in PACKAGES} | {f"{name}-{NEW}-1.x86_64.rpm" for name in PACKAGES}
    files |= {f"Insync-{NEW}.dmg", f"Insync-{NEW}.exe"}
    assert {path.name for path in folder.iterdir()} == files | {"SHA256SUMS", "SHA256SUMS.asc"}
    assert len(run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder).splitlines()) == len(files)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_what_they_are(made, package):
    folder, needed = made[1] / NEW, "" if package == "insync" else "insync"
    shown = "${Package} ${Version} ${Architecture} ${Depends}"
    deb = run("dpkg-deb", "--show", f"--showformat={shown}", f"{folder}/{package}_{NEW}_amd64.deb")
    assert deb.split() == [package, NEW, "amd64", *needed.split()]
    rpm = f"{folder}/{package}-{NEW}-1.x86_64.rpm"
    assert run("rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH}", rpm) == f"{package} {NEW} 1 x86_64"
    assert [line for line in run("rpm", "-qpR", rpm).splitlines() if not line.startswith("rpmlib(")] == needed.split()


def test_the_client_prints_its_version(made, tmp_path):
    for version in VERSIONS:
        run("dpkg-deb", "--extract", f"{made[1]}/{version}/insync_{version}_amd64.deb", str(tmp_path / version))
        assert run(f"{tmp_path}/{version}/usr/bin/insync") == f"{version}\n"
        rpm = (made[1] / version / f"insync-{version}-1.x86_64.rpm").read_bytes()
        with tarfile.open(fileobj=io.BytesIO(run_bytes("rpm2archive", "-n", stdin=rpm))) as tar:
            (tmp_path / "insync").write_bytes(tar.extractfile("./usr/bin/insync").read())
            assert tar.getmember("./usr/bin/insync").mode & 0o777 == 0o755
        assert run("sh", str(tmp_path / "insync")) == f"{version}\n"


def test_the_signature_is_the_builds_and_of_these_sums(made, tmp_path):
    keys, builds = made
    (tmp_path / "key.gpg").write_bytes(run_bytes("gpg", "--dearmor", stdin=(keys / "builds.asc").read_bytes()))
    (tmp_path / "other").write_text("other")
    command = ["gpgv", "--keyring", str(tmp_path / "key.gpg"), f"{builds}/{NEW}/SHA256SUMS.asc"]
    assert subprocess.run([*command, f"{builds}/{NEW}/SHA256SUMS"], capture_output=True).returncode == 0
    assert subprocess.run([*command, f"{tmp_path}/other"], capture_output=True).returncode == 1


def test_the_same_version_has_the_same_bytes_and_is_built_once(made, tmp_path, monkeypatch):
    keys, builds = made
    again = client_packages.build(VERSIONS, tmp_path, keys)
    assert again.name == builds.name
    for version in VERSIONS:
        assert (again / version / "SHA256SUMS").read_text() == (builds / version / "SHA256SUMS").read_text()
    monkeypatch.setattr(client_packages, "_version", None)
    assert client_packages.build(VERSIONS, tmp_path, keys) == again


def test_keys_are_made_once_and_are_readable_by_root_alone(made):
    keys, before = made[0], (made[0] / "builds.key").read_text()
    assert pgp.kept(keys, pgp.BUILDS).secret == before
    assert (keys / "builds.key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in (keys / "builds.asc").read_text()


class Store:
    """Stands for a store as boto3 shows it."""

    def __init__(self):
        self.objects, self.puts = {}, []

    def get_paginator(self, name):
        """As boto3's, with pages of two."""
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket):
        """As boto3's."""
        entries = [
            {"Key": key, "ETag": f'"{hashlib.md5(body).hexdigest()}"'}
            for (bucket, key), (body, _) in sorted(self.objects.items())
            if bucket == Bucket
        ]
        yield from ({"Contents": entries[at : at + 2]} for at in range(0, len(entries), 2))
        yield {}

    def put_object(self, Bucket, Key, Body, ACL):
        """As boto3's."""
        self.puts.append((Bucket, Key))
        self.objects[Bucket, Key] = (Body, ACL)


def test_builds_are_offered_and_only_the_missing_uploaded(made):
    store, builds = Store(), made[1]
    assert clients.offer(store, builds, VERSIONS) == len(store.puts) == 24
    offered = {key for bucket, key in store.objects if bucket == "insync_builds"}
    assert offered == {f"{version}/{path.name}" for version in VERSIONS for path in (builds / version).iterdir()}
    public = {key: body for (bucket, key), (body, acl) in store.objects.items() if acl == "public-read"}
    assert public == {
        f"builds/{platform}/Insync-{version}.{ending}": (builds / version / f"Insync-{version}.{ending}").read_bytes()
        for version in VERSIONS
        for platform, ending in (("mac", "dmg"), ("windows", "exe"))
    }
    assert {bucket for bucket, key in store.objects if key in public} == {"insync_cdn"}

    store.puts.clear()
    assert clients.offer(store, builds, VERSIONS) == 0
    del store.objects["insync_builds", f"{NEW}/SHA256SUMS"]
    store.objects["insync_cdn", f"builds/mac/Insync-{NEW}.dmg"] = (b"cut", "public-read")
    assert clients.offer(store, builds, VERSIONS) == 2
    assert store.puts == [("insync_builds", f"{NEW}/SHA256SUMS"), ("insync_cdn", f"builds/mac/Insync-{NEW}.dmg")]
