"""What is written of a serial is read back, and nothing else."""

import dataclasses
import json

import insync_manifest
import pytest

ENTRY = {"sha256": "0" * 64, "size": 1}
GOOD = insync_manifest.Manifest(
    root="apt",
    unit="ubuntu/noble",
    serial=12,
    date=1700000000,
    by="alice",
    what="update_apt_repo 1.0",
    packages={"insync": ["1.0"]},
    immutable={"ubuntu/pool/non-free/i/insync/insync_1.0_amd64.deb": ENTRY, "ubuntu/dists/noble/by-hash/x": ENTRY},
    commit={"ubuntu/dists/noble/InRelease": ENTRY},
    pair={},
    legacy={"insync.asc": ENTRY},
)
BAD = {
    "root": ["pip", None],
    "unit": ["noble", "../noble", "ubuntu/..", "a/b/c", 1],
    "serial": [0, "12", 1.0, True],
    "date": [0, None],
    "by": [None],
    "packages": [[], {"insync": []}, {"insync": "1.0"}],
    "immutable": [{"../x": ENTRY}, {"/x": ENTRY}, {"a//b": ENTRY}, {"a/": ENTRY}, {"a b": ENTRY}, {"./a": ENTRY}],
    "commit": [{}, {"a": ENTRY, "b": ENTRY}, {"a": {"sha256": "0" * 63, "size": 1}}, {"a": {"sha256": "0" * 64}}],
    "legacy": [{"a": {**ENTRY, "size": -1}}, {"a": {**ENTRY, "more": 1}}, {"a": None}],
}


def test_it_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "manifests" / "ubuntu" / "noble" / "12.json"
    insync_manifest.write(path, GOOD)
    assert insync_manifest.read(path) == GOOD
    assert [file.name for file in path.parent.iterdir()] == ["12.json"]


def test_it_tells_its_keys_and_its_packages():
    assert set(GOOD.keys()) == {*GOOD.immutable, *GOOD.commit, *GOOD.legacy}
    assert list(GOOD.files()) == ["ubuntu/pool/non-free/i/insync/insync_1.0_amd64.deb"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.serial = 13


@pytest.mark.parametrize("field, value", [(field, value) for field, values in BAD.items() for value in values])
def test_what_is_none_is_neither_written_nor_read(tmp_path, field, value):
    bad = dataclasses.replace(GOOD, **{field: value})
    with pytest.raises(insync_manifest.RepositoryError, match="take it back from the backup"):
        insync_manifest.write(tmp_path / "12.json", bad)
    assert not list(tmp_path.iterdir())
    (tmp_path / "12.json").write_text(json.dumps(dataclasses.asdict(bad)))
    with pytest.raises(insync_manifest.RepositoryError, match=r"12\.json: "):
        insync_manifest.read(tmp_path / "12.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"serial": 1, "other": 2}'])
def test_what_is_no_manifest_is_told(tmp_path, text):
    (tmp_path / "12.json").write_text(text)
    with pytest.raises(insync_manifest.RepositoryError, match=r"12\.json: no manifest: .*; take it back"):
        insync_manifest.read(tmp_path / "12.json")
