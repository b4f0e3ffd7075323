"""Artefacts of a version come as a whole or not at all, and under names that artefacts have."""

import insync_fetch
import pytest
from insync_store_errors import StoreError


class Bucket:
    """Stands for a store with ``content`` ({key: bytes}); one that is None cannot be read."""

    bucket = "builds"

    def __init__(self, content):
        self.content = content

    def list(self, prefix):
        return {key: None for key in self.content if key.startswith(prefix)}

    def read(self, key):
        yield b"be"
        if self.content[key] is None:
            raise StoreError(f"GET {key} from builds: it cuts the connection")
        yield self.content[key]


def test_from_a_folder(tmp_path):
    (tmp_path / "source" / "1.2").mkdir(parents=True)
    (tmp_path / "source" / "1.2" / "a_1.2+x~rc1_amd64.deb").write_text("deb")
    for _ in range(2):
        found = insync_fetch.version(str(tmp_path / "source"), "1.2", tmp_path / "to" / "here")
        assert found == tmp_path / "to" / "here" / "1.2"
        assert [(file.name, file.read_text()) for file in found.iterdir()] == [("a_1.2+x~rc1_amd64.deb", "deb")]
        (found / "stale").write_text("of an earlier one")
    assert [path.name for path in found.parent.iterdir()] == ["1.2"]


def test_from_a_bucket(tmp_path):
    content = {"in/1.2/a": b"gun", "in/1.2/b": b"low", "in/1.2/": b"", "in/1.20/c": b"", "other/1.2/d": b""}
    found = insync_fetch.version("s3://builds/in/", "1.2", tmp_path, Bucket(content))
    assert {file.name: file.read_bytes() for file in found.iterdir()} == {"a": b"begun", "b": b"below"}
    assert (
        insync_fetch.version("s3://builds", "1.2", tmp_path, Bucket({"1.2/a": b"ing"})).joinpath("a").read_bytes()
        == b"being"
    )


@pytest.mark.parametrize(
    ("source", "version", "content", "said"),
    [
        ("s3://builds", "../x", {}, "'../x': no version"),
        ("s3://builds", "", {}, "'': no version"),
        ("s3://builds", "1.2", {}, "there is nothing of this version"),
        ("s3://builds", "1.2", {"1.2/a/b": b""}, "'a/b' is no name of an artefact"),
        ("s3://builds", "1.2", {"1.2/..": b""}, "'..' is no name of an artefact"),
        ("s3://builds", "1.2", {"1.2/a": None}, "it cuts the connection"),
        ("s3://others", "1.2", {}, "is not in the bucket builds"),
    ],
)
def test_nothing_is_left_of_what_fails(tmp_path, source, version, content, said):
    (tmp_path / ".1.2.fetch-killed").mkdir()
    with pytest.raises(insync_fetch.FetchError, match=said):
        insync_fetch.version(source, version, tmp_path, Bucket(content))
    assert [path.name for path in tmp_path.iterdir()] == ([] if version == "1.2" else [".1.2.fetch-killed"])


@pytest.mark.parametrize(("entry", "said"), [("folder", "is no file"), ("link", "is no file"), ("a b", "is no name")])
def test_a_folder_holds_files_only(tmp_path, entry, said):
    source = tmp_path / "source" / "1.2"
    source.mkdir(parents=True)
    {"folder": source.joinpath(entry).mkdir, "a b": source.joinpath(entry).touch}.get(
        entry, lambda: source.joinpath(entry).symlink_to("/etc/passwd")
    )()
    with pytest.raises(insync_fetch.FetchError, match=said):
        insync_fetch.version(tmp_path / "source", "1.2", tmp_path / "to")
    with pytest.raises(insync_fetch.FetchError, match="there is no version 1.3"):
        insync_fetch.version(tmp_path / "source", "1.3", tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
