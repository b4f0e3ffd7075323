"""A version is added to every unit in one moment; older ones stay; what was can be had again."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess

import insync_manifest
import insync_repos
import pytest

BOTH = pytest.mark.parametrize("repository", ["apt", "yum"], indirect=True)
YUM = pytest.mark.parametrize("repository", ["yum"], indirect=True)
NAMES = ("insync", "insync-nautilus")


@pytest.fixture(autouse=True)
def clock(slow_clock):
    """Here a second passes for each run."""


def texts(repository, unit):
    """What the current files of a unit hold: the end of the key -> bytes."""
    keys = insync_repos.current(repository.root)[unit].keys()
    return {key.removeprefix(f"{unit}/"): repository.root.read(entry) for key, entry in keys.items()}


@BOTH
def test_a_version_is_added_to_every_unit_and_only_once(repository):
    done = repository.add("1.0")
    names = sorted(repository.name(name, "1.0") for name in NAMES)
    assert done["units"] == dict.fromkeys(
        repository.root.units, {"serial": 1, "former": None, "added": names, "dropped": []}
    )
    assert repository.said[-1] == f"current: {', '.join(f'{unit} 1' for unit in repository.root.units)}"
    assert max(map(len, repository.said)) < 200
    before = repository.visible()
    assert all(manifest.by == "alice" for (manifest,) in before.values())
    # The objects of yum are signed, the build is not: it is the same nevertheless.
    assert repository.add("1.0") == {"units": {}, "missing": []}
    assert repository.visible() == before
    assert repository.add("1.1", key="expiring", test=True)["units"]
    assert re.search(r"warning: signing key \w{40} expires in 9 days: extend it", repository.said[0])


def test_the_index_of_a_suite(repository):
    repository.add("1.0")
    repository.add("1.1")
    manifest = insync_repos.current(repository.root)["ubuntu/noble"]
    files, top = {key: repository.root.read(entry) for key, entry in manifest.keys().items()}, "ubuntu/dists/noble"
    (inline,) = manifest.commit
    assert inline == f"{top}/InRelease"
    release = files[f"{top}/Release"].decode()
    assert release in files[inline].decode()
    head, _, listed = release.partition("SHA256:\n")
    assert head.startswith("Origin: Insync\nLabel: Insync\nSuite: noble\nCodename: noble\nDate: ")
    assert head.endswith("UTC\nArchitectures: amd64\nComponents: non-free contrib\nAcquire-By-Hash: yes\n")
    assert not re.search("MD5|SHA1|SHA512", release)
    packed = files[f"{top}/non-free/binary-amd64/Packages.gz"]
    plain = gzip.decompress(packed)
    for content, name in ((packed, "non-free/binary-amd64/Packages.gz"), (plain, "non-free/binary-amd64/Packages")):
        assert re.search(rf"^ {hashlib.sha256(content).hexdigest()} +{len(content)} {name}$", listed, re.MULTILINE)
    assert gzip.decompress(files[f"{top}/contrib/binary-amd64/Packages.gz"]) == b""
    hashes = {key for key in manifest.immutable if "/by-hash/" in key}
    assert hashes == {
        f"{top}/{component}/binary-amd64/by-hash/SHA256/{entry['sha256']}"
        for component in ("non-free", "contrib")
        for entry in [manifest.legacy[f"{top}/{component}/binary-amd64/Packages.gz"]]
    }
    stanzas = plain.decode().strip().split("\n\n")
    names = [re.search("^Filename: (.*)$", stanza, re.MULTILINE)[1] for stanza in stanzas]
    assert sorted(f"ubuntu/{name}" for name in names) == sorted(manifest.files()) and len(names) == 4
    assert not re.search("^(MD5sum|SHA1|SHA512):", plain.decode(), re.MULTILINE)
    assert "ubuntu/pool/non-free/i/insync-nautilus/insync-nautilus_1.1_all.deb" in manifest.files()
    assert manifest.pair == {} and set(manifest.legacy) == {
        "insync.asc",
        *(f"{top}/{name}" for name in ("Release", "Release.gpg")),
        *(f"{top}/{component}/binary-amd64/Packages.gz" for component in ("non-free", "contrib")),
    }


@YUM
def test_the_index_of_a_release(repository):
    repository.add("1.0")
    repository.add("1.1")
    manifest = insync_repos.current(repository.root)["fedora/41"]
    assert list(manifest.commit) == ["fedora/41/mirrorlist"]
    assert list(manifest.pair) == ["fedora/41/repodata/repomd.xml", "fedora/41/repodata/repomd.xml.asc"]
    files = texts(repository, "fedora/41")
    assert files["mirrorlist"] == b"http://yum.insync.io/fedora/41/snapshots/2/\n"
    for folder, prefix in (("repodata/", ""), ("snapshots/2/repodata/", "../../")):
        repomd = files[f"{folder}repomd.xml"].decode()
        named = {f"{folder}{name}" for name in re.findall('href="repodata/([^"]*)"', repomd)}
        assert named | {f"{folder}repomd.xml", f"{folder}repomd.xml.asc"} == {k for k in files if k.startswith(folder)}
        assert all(name.endswith(".xml.gz") for name in named) and len(named) == 3
        assert f"<revision>{manifest.date}</revision>" in repomd
        (primary,) = (gzip.decompress(files[name]).decode() for name in named if "-primary" in name)
        packages = {f"{prefix}Packages/{repository.name(name, v)}" for name in NAMES for v in ("1.0", "1.1")}
        assert set(re.findall('<location href="([^"]*)"', primary)) == packages


@YUM
def test_a_package_is_signed_by_our_key_and_no_other(repository, keys):
    folder = repository.build("1.0")
    signed = folder / repository.name("insync", "1.0")
    keys.signer().sign_rpms([signed])
    content = signed.read_bytes()
    repository.add("1.0", repository.sign(folder))
    files = insync_repos.current(repository.root)["fedora/41"].files()
    files = {os.path.basename(key): entry for key, entry in files.items()}
    assert repository.root.read(files[signed.name]) == content
    ring, key = repository.folder / "ring", repository.folder / "key.asc"
    key.write_text(keys.public("insync"))
    subprocess.run(["rpmkeys", "--dbpath", ring, "--import", key], check=True)
    for entry in files.values():
        command = ["rpmkeys", "--dbpath", ring, "--checksig", repository.root.path(entry["sha256"])]
        assert b"digests signatures OK" in subprocess.run(command, check=True, capture_output=True).stdout
    before, folder = repository.visible(), repository.build("1.1")
    keys.signer("other").sign_rpms([folder / repository.name("insync", "1.1")])
    for test in (True, False):
        with pytest.raises(insync_manifest.RepositoryError, match=r"insync-1\.1-1.x86_64\.rpm: is signed, but not by "):
            repository.add("1.1", repository.sign(folder), test=test)
    assert repository.visible() == before


@YUM
def test_a_release_that_is_not_the_one_in_the_name(repository):
    folder = repository.build("1.0", without=["insync-nautilus"])
    (folder / repository.name("insync", "1.0")).rename(folder / "insync-1.0-2.x86_64.rpm")
    repository.declared["yum"] |= {"file": "{package}-{version}-2.{architecture}.rpm", "packages": ["insync"]}
    repository.root = insync_repos.Root(repository.folder / "repos", "yum", repository.declared)
    with pytest.raises(insync_manifest.RepositoryError, match=r"insync-1\.0-2\.x86_64\.rpm: its release is 1, not 2"):
        repository.add("1.0", repository.sign(folder))


@BOTH
def test_a_partial_version_is_asked_for_and_completed_later(repository):
    absent = repository.name("insync-nautilus", "1.0")
    done = repository.add("1.0", repository.build("1.0", without=["insync-nautilus"]), partial=True)
    assert done["missing"] == [absent]
    assert insync_repos.current(repository.root)[repository.root.units[0]].packages == {"insync": ["1.0"]}
    done = repository.add("1.0")
    assert {tuple(told["added"]) for told in done["units"].values()} == {(absent,)}
    assert set(insync_repos.current(repository.root)[repository.root.units[0]].packages) == set(NAMES)


@BOTH
def test_the_newest_versions_stay_and_a_backport_counts(repository):
    unit = repository.root.units[0]
    for version in ("1.0", "1.1", "1.3", "1.10"):
        done = repository.add(version)
    assert done["units"][unit]["dropped"] == sorted(repository.name(name, "1.0") for name in NAMES)
    assert repository.versions(unit) == ["1.1", "1.3", "1.10"]
    repository.add("1.2", backport=True)
    assert repository.versions(unit) == ["1.2", "1.3", "1.10"]
    assert len(insync_repos.current(repository.root)[unit].files()) == 6
    with pytest.raises(insync_manifest.RepositoryError, match=f"1.1: {unit} keeps 3 versions, all of them higher"):
        repository.add("1.1", backport=True)


@BOTH
def test_a_unit_that_is_declared_later_gets_the_same_files(repository):
    repository.add("1.0")
    groups = repository.declared[repository.kind]["suites" if repository.kind == "apt" else "releases"]
    groups["later"] = ["1"]
    repository.root = insync_repos.Root(repository.folder / "repos", repository.kind, repository.declared)
    assert list(repository.add("1.0")["units"]) == ["later/1"]
    current = insync_repos.current(repository.root)
    first, later = ({e["sha256"] for e in current[u].files().values()} for u in (repository.root.units[0], "later/1"))
    assert first == later and len(first) == 2


@BOTH
def test_a_rollback_is_a_newer_index_of_the_former_packages(repository):
    unit, other = repository.root.units[:2]
    for version in ("1.0", "1.1", "1.2"):
        repository.add(version)
    before = repository.visible()
    assert repository.roll_back({unit: None})["units"][unit] == {
        "serial": 4,
        "former": 3,
        "added": [],
        "dropped": sorted(repository.name(name, "1.2") for name in NAMES),
        "like": 2,
    }
    after = repository.visible()
    assert after[other] == before[other]
    *_, like, former, now = after[unit]
    assert (now.files(), now.packages, now.by) == (like.files(), like.packages, "bob") and now.date > former.date
    # No object but the signed ones is new: nothing else is to be uploaded.
    new = {e["sha256"] for e in now.keys().values()} - {e["sha256"] for m in before[unit] for e in m.keys().values()}
    assert len(new) == {"apt": 3, "yum": 5}[repository.kind]
    # Once more is one version further back, and not to what was rolled back from.
    assert repository.roll_back({unit: None})["units"][unit]["like"] == 1
    assert repository.versions(unit) == ["1.0"]
    repository.roll_back({unit: 3})
    assert repository.versions(unit) == ["1.0", "1.1", "1.2"]
    repository.roll_back({unit: None, other: None})
    assert repository.versions(unit) == repository.versions(other) == ["1.0", "1.1"]
    assert set(repository.add("1.2")["units"]) == {unit, other}


@BOTH
def test_a_version_that_is_withdrawn_takes_nothing_else_with_it(repository):
    unit, other = repository.root.units[:2]
    repository.root.retain["versions"] = 2
    for version in ("1.0", "1.1", "1.2"):
        repository.add(version)
    assert repository.versions(unit) == ["1.1", "1.2"]
    # What made room for it is on offer again.
    told = repository.withdraw("1.2")["units"]
    assert repository.versions(unit) == repository.versions(other) == ["1.0", "1.1"]
    assert told[unit]["added"] == sorted(repository.name(name, "1.0") for name in NAMES)
    repository.root.retain["versions"] = 5
    repository.add("1.3")
    repository.add("1.2", backport=True)
    repository.withdraw("1.3")
    assert repository.versions(unit) == ["1.0", "1.1", "1.2"]
    before = repository.visible()
    assert repository.withdraw("1.3") == {"units": {}}
    assert repository.visible() == before


@BOTH
def test_the_first_version_ever_is_withdrawn(repository):
    repository.add("1.0")
    planned = repository.withdraw("1.0", test=True)
    assert repository.withdraw("1.0") == planned
    assert all(
        manifest.packages == manifest.files() == {} for manifest in insync_repos.current(repository.root).values()
    )
    repository.add("1.0")
    assert repository.versions(repository.root.units[0]) == ["1.0"]


@BOTH
def test_only_what_nothing_names_is_removed(repository):
    unit, other = repository.root.units[:2]
    for version in ("1.0", "1.1", "1.2", "1.3"):
        repository.add(version)
    repository.roll_back({unit: 1})
    (repository.root.folder / "objects" / "00").mkdir(exist_ok=True)
    (repository.root.folder / "objects" / "00" / ("00" * 32)).write_text("left by a run that was cut")
    insync_manifest.write(repository.root.manifest(unit, 6), insync_repos.current(repository.root)[unit])
    before = repository.visible()
    kept = before[unit][-2:] + [m for u, there in before.items() if u != unit for m in there[-2:]]
    repository.root.retain["days"] = 30
    assert insync_repos.collect(repository.root)["objects"] == []
    assert len(insync_repos.retained(repository.root)) > len(kept)
    repository.root.retain["days"] = 0
    assert {(m.unit, m.serial) for m in insync_repos.retained(repository.root)} == {(m.unit, m.serial) for m in kept}
    told = insync_repos.collect(repository.root)
    assert {f"{unit}/1", f"{unit}/3", f"{unit}/6", f"{other}/1", f"{other}/2"} <= set(told["manifests"])
    assert "00" * 32 in told["objects"] and told["size"] > 26
    assert repository.visible() == before
    assert insync_repos.collect(repository.root, test=False) == told
    assert insync_repos.collect(repository.root) == {"manifests": [], "objects": [], "size": 0}
    there = {path.name for path in (repository.root.folder / "objects").glob("*/*")}
    assert there == {entry["sha256"] for manifest in kept for entry in manifest.keys().values()}
    assert repository.visible() == {u: manifests[-2:] for u, manifests in before.items()}
    repository.add("1.4")
    assert repository.versions(unit) == ["1.0", "1.4"]


def test_an_object_that_is_damaged_is_named(repository):
    repository.add("1.0")
    entry = insync_repos.current(repository.root)["ubuntu/noble"].legacy[
        "ubuntu/dists/noble/non-free/binary-amd64/Packages.gz"
    ]
    path = repository.root.path(entry["sha256"])
    shutil.copy(path, repository.folder / "good")
    path.write_bytes(b"")
    with pytest.raises(insync_manifest.RepositoryError, match=f"{path}: missing or changed; take it back"):
        repository.add("1.1")
    shutil.copy(repository.folder / "good", path)
    assert repository.add("1.1")["units"]
