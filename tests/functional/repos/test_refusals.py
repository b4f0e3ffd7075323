"""What must not be published is refused in one line, and nothing that is visible changes."""

import pathlib
import shutil

import insync_artifacts
import insync_gpg
import insync_manifest
import insync_plan
import insync_repos
import insync_version
import pytest

KINDS = ("apt", "yum")
AMD64 = {"apt": "amd64", "yum": "x86_64"}
OTHER = {"apt": "arm64", "yum": "aarch64"}


@pytest.fixture(scope="module", params=KINDS)
def standing(request, tmp_path_factory, repository_of):
    """A repository with 2.0 in it; every test leaves it as it is."""
    repository = repository_of(request.param, tmp_path_factory.mktemp(request.param))
    repository.add("2.0")
    return repository


@pytest.fixture(autouse=True)
def unchanged(standing):
    """Whatever a test here does: what is current is the same afterwards, and nothing is in the way."""
    before = standing.visible()
    yield
    assert standing.visible() == before
    assert not (standing.root.folder / "staging").exists()


def refused(standing, version, folder=None, **options):
    """The one line."""
    with pytest.raises(insync_manifest.RepositoryError) as caught:
        standing.add(version, folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("version", ["", "../2.1", "latest"])
def test_no_version(standing, version):
    with pytest.raises(insync_version.VersionError, match="is no version"):
        standing.add(version, pathlib.Path("/nonexistent"))
    assert standing.said == []


def test_everything_that_is_missing_is_named(standing):
    folder = standing.build("2.1")
    names = [standing.name(package, "2.1") for package in ("insync", "insync-nautilus")]
    (folder / names[0]).unlink()
    standing.sign(folder)
    (folder / names[1]).unlink()
    told = f"2.1: missing in {folder}: {names[0]}, {names[1]} (though in SHA256SUMS); build it, or publish without"
    assert refused(standing, "2.1", folder).startswith(told)
    # What the build lists and has not is no partial build.
    assert f"{names[1]} (though in SHA256SUMS)" in refused(standing, "2.1", folder, partial=True)


def test_a_file_that_nobody_signed(standing):
    folder = standing.build("2.1", without=["insync-nautilus"])
    name = standing.name("insync-nautilus", "2.1")
    shutil.copy(folder / standing.name("insync", "2.1"), folder / name)
    assert f"{name} (not in SHA256SUMS)" in refused(standing, "2.1", folder, partial=True)


def test_no_build_at_all(standing):
    assert "SHA256SUMS: No such file or directory" in refused(standing, "2.1", standing.folder / "nothing")
    folder = standing.build("2.1", without=["insync", "insync-nautilus"])
    assert f"missing in {folder}: " in refused(standing, "2.1", folder, partial=True)


@pytest.mark.parametrize("text", ["x\n", "{sum}  ../{name}\n", "{sum}  {name}\n{sum}  {name}\n"])
def test_a_list_of_checksums_that_is_none(standing, text):
    folder = standing.build("2.1")
    sums = text.format(sum="0" * 64, name=standing.name("insync", "2.1")).encode()
    (folder / "SHA256SUMS").write_bytes(sums)
    (folder / "SHA256SUMS.asc").write_bytes(standing.keys.detach("builds", sums))
    assert "SHA256SUMS: not a list of checksums, each file once" in refused(standing, "2.1", folder)


def test_a_build_that_another_key_signs(standing):
    told = "SHA256SUMS: is not signed by repos:build_key: "
    assert told in refused(standing, "2.1", standing.build("2.1", by="other"))
    folder = standing.build("2.1")
    (folder / "SHA256SUMS").write_bytes((folder / "SHA256SUMS").read_bytes() + b"\n")
    assert told in refused(standing, "2.1", folder)
    (folder / "SHA256SUMS.asc").write_bytes(b"")
    assert told in refused(standing, "2.1", folder)
    (folder / "SHA256SUMS.asc").unlink()
    assert "SHA256SUMS.asc: No such file" in refused(standing, "2.1", folder)


def test_a_build_whose_key_is_expired(standing, monkeypatch):
    monkeypatch.setattr(standing.root, "build_key", standing.keys.public("expired"))
    folder = standing.build("2.1", by="expired")
    assert "is not signed by repos:build_key: which is expired or revoked" in refused(standing, "2.1", folder)


def test_a_checksum_that_differs(standing):
    folder = standing.build("2.1")
    name = standing.name("insync", "2.1")
    shutil.copy(standing.package("insync", "2.1", AMD64[standing.kind], "altered"), folder / name)
    assert refused(standing, "2.1", folder) == f"2.1: {name}: not the checksum that SHA256SUMS says; build it anew"


def test_every_field_that_differs_is_named(standing):
    files = {
        "insync": standing.package("insync", "2.0", OTHER[standing.kind]),
        "insync-nautilus": standing.package("insync-dolphin", "2.1", standing.architecture("insync-nautilus")),
    }
    assert refused(standing, "2.1", standing.build("2.1", **files)) == (
        f"2.1: {standing.name('insync', '2.1')}: its version is 2.0, not 2.1; "
        f"{standing.name('insync', '2.1')}: its architecture is {OTHER[standing.kind]}, not {AMD64[standing.kind]}; "
        f"{standing.name('insync-nautilus', '2.1')}: its package is insync-dolphin, not insync-nautilus; build it anew"
    )


@pytest.mark.parametrize("clip", [0, 100, -30])
def test_a_clipped_package(standing, clip):
    folder = standing.build("2.1")
    name = standing.name("insync", "2.1")
    (folder / name).write_bytes((folder / name).read_bytes()[:clip])
    assert f"2.1: {name}: corrupt (" in refused(standing, "2.1", standing.sign(folder))


def test_a_package_with_a_wrong_byte(standing):
    folder = standing.build("2.1")
    name = standing.name("insync", "2.1")
    content = bytearray((folder / name).read_bytes())
    content[-40] ^= 0xFF
    (folder / name).write_bytes(content)
    assert f"2.1: {name}: corrupt (" in refused(standing, "2.1", standing.sign(folder))


def test_what_the_indexer_skips_does_not_go_unseen(standing, monkeypatch):
    """apt-ftparchive says that all is well, and leaves a package out that it cannot read."""
    fields = {"package": "insync", "version": "2.1", "architecture": AMD64[standing.kind], "release": "1"}
    monkeypatch.setattr(insync_artifacts, "_deb" if standing.kind == "apt" else "_rpm", lambda path: fields)
    monkeypatch.setattr(type(standing.builder()), "sign", lambda self, paths: None)
    monkeypatch.setattr(type(standing.builder()), "check", lambda self, paths: None)
    folder = standing.build("2.1", without=["insync-nautilus"])
    name = standing.name("insync", "2.1")
    (folder / name).write_bytes((folder / name).read_bytes()[:300])
    said = refused(standing, "2.1", standing.sign(folder), partial=True)
    assert ("apt-ftparchive does not describe it" if standing.kind == "apt" else "createrepo_c: ") in said


def test_other_content_under_the_same_version(standing):
    names = [standing.name(package, "2.0") for package in ("insync", "insync-nautilus")]
    told = "other content is published, and immutable: bump the version"
    assert refused(standing, "2.0", standing.build("2.0", "other")) == f"{', '.join(names)}: {told}"


def test_a_lower_version(standing):
    told = f"1.9: {standing.root.units[0]} has 2.0; a lower one needs backport=True"
    assert refused(standing, "1.9") == told
    assert refused(standing, "1.9", test=True) == told


@pytest.mark.parametrize("key, told", [("expired", "is expired since 2020-01-02"), ("locked", "needs a passphrase")])
def test_a_key_that_cannot_sign(standing, key, told):
    assert told in refused(standing, "2.1", pathlib.Path("/nonexistent"), key=key)
    # Before anything is read, or a folder made.
    assert standing.said == []
    signer = standing.keys.signer(key)
    with pytest.raises(insync_manifest.RepositoryError, match=told):
        insync_repos.roll_back(standing.root, {standing.root.units[0]: None}, signer, "bob")


def test_a_key_that_is_not_there(standing, tmp_path):
    signer = insync_gpg.Signer(standing.keys.home, "0" * 40)
    with pytest.raises(insync_manifest.RepositoryError, match=f"{'0' * 40} is not in {signer.home}; import it"):
        insync_repos.add(standing.root, "2.1", tmp_path, signer, "alice")


def test_a_clock_that_is_behind(standing, monkeypatch):
    date = max(manifest.date for manifest in insync_repos.current(standing.root).values())
    folder, units = standing.build("2.1"), {standing.root.units[0]: 1}
    monkeypatch.setattr(insync_plan.time, "time", lambda: date - 3600.0)
    assert "the clock is 3600 s behind serial 1 of " in refused(standing, "2.1", folder)
    with pytest.raises(insync_manifest.RepositoryError, match="the clock is 3600 s behind"):
        standing.roll_back(units)


def test_an_index_that_clients_refuse(standing, monkeypatch):
    """Nothing is current before real clients have read it."""
    other = standing.keys.signer("other")
    monkeypatch.setattr(insync_gpg.Signer, "public", lambda self: standing.keys.public("other").encode())
    monkeypatch.setattr(type(standing.builder()), "sign", lambda self, paths: None)
    monkeypatch.setattr(type(standing.builder()), "check", lambda self, paths: None)
    assert other.public() == standing.keys.public("other").encode()
    client = {"apt": "apt", "yum": "dnf"}[standing.kind]
    assert f"{client} refuses the new index: " in refused(standing, "2.1")


def test_an_index_of_other_packages_than_the_manifest_says(standing, monkeypatch):
    addition = insync_plan.addition

    def lying(*words):
        plan = addition(*words)
        plan.packages["insync"] = ["2.0", "2.1", "3.0"]
        return plan

    monkeypatch.setattr(insync_plan, "addition", lying)
    assert "and the manifest differ: insync 3.0" in refused(standing, "2.1")


@pytest.mark.parametrize(
    "units, told",
    [
        ({"ubuntu/nosuch": None}, "ubuntu/nosuch: nothing of it is there; there is "),
        ({None: None}, "nothing is before serial 1"),
        ({None: 7}, "no serial 7; there is 1"),
    ],
)
def test_a_rollback_to_what_there_is_not(standing, units, told):
    units = {unit or standing.root.units[0]: serial for unit, serial in units.items()}
    with pytest.raises(insync_manifest.RepositoryError, match=told):
        standing.roll_back(units)


def test_a_rollback_to_packages_that_are_gone(standing):
    unit = standing.root.units[0]
    key, entry = next(iter(insync_repos.current(standing.root)[unit].files().items()))
    path = standing.root.path(entry["sha256"])
    hidden = path.rename(path.with_name("hidden"))
    try:
        with pytest.raises(insync_manifest.RepositoryError, match=f"serial 1: {key} is not here any more"):
            standing.roll_back({unit: 1})
    finally:
        hidden.rename(path)


def test_what_is_not_declared(standing):
    declared = {**standing.declared, standing.kind: {}}
    with pytest.raises(insync_manifest.RepositoryError, match=f"repos:{standing.kind}: .* is not declared"):
        insync_repos.Root(standing.folder, standing.kind, declared)


def test_a_damaged_record_of_what_is_current(standing):
    path = standing.root.folder / "current.json"
    text = path.read_text()
    path.write_text("{")
    assert "current.json: damaged" in refused(standing, "2.1")
    path.write_text(text)


def test_test_mode_makes_nothing(standing):
    before = sorted(path for path in standing.root.folder.rglob("*"))
    done = standing.add("2.1", test=True)
    names = sorted(standing.name(package, "2.1") for package in ("insync", "insync-nautilus"))
    one = {"serial": 2, "former": 1, "added": names, "dropped": []}
    assert done == {"units": dict.fromkeys(standing.root.units, one), "missing": []}
    assert sorted(path for path in standing.root.folder.rglob("*")) == before
    told = standing.roll_back({standing.root.units[0]: 1}, test=True)["units"][standing.root.units[0]]
    assert told == {"serial": 2, "former": 1, "added": [], "dropped": [], "like": 1}
    assert sorted(path for path in standing.root.folder.rglob("*")) == before
