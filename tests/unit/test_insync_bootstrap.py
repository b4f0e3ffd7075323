"""What a new server gets before it is a minion."""

import pathlib

import insync_bootstrap
import insync_inventory
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def pki(tmp_path):
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "master_sign.pub").write_text("the trust anchor")
    return tmp_path / "pki"


def test_the_payload_is_complete(tmp_path, pki):
    folder = tmp_path / "payload"
    folder.mkdir()
    insync_bootstrap.payload(ROOT, "web02", pki, folder)
    files = {path.name for path in folder.iterdir()}
    scripts = {"minion", "install-salt", "command", "salt-minion.service"}
    assert files == scripts | {"master_sign.pub", "minion.conf", "extmods"}
    for kind in ("modules", "states", "utils"):
        brought = {path.name: path.read_text() for path in (folder / "extmods" / kind).iterdir()}
        assert brought == {path.name: path.read_text() for path in (ROOT / f"_{kind}").glob("*.py")}
    assert (folder / "minion").stat().st_mode & 0o111, "ct1 runs it"
    assert yaml.safe_load((folder / "minion.conf").read_text())["id"] == "web02"


def test_the_first_highstate_finds_the_configuration_as_it_wants_it(tmp_path, pki, compiled):
    for server in compiled:
        folder = tmp_path / server
        folder.mkdir()
        insync_bootstrap.payload(ROOT, server, pki, folder)
        state = next(chunk for chunk in compiled[server]["low"] if chunk["__id__"] == "salt-minion-config")
        assert (folder / "minion.conf").read_text() == state["rendered"]


def test_an_unknown_server_is_refused(tmp_path, pki):
    with pytest.raises(insync_inventory.InventoryError, match="web03"):
        insync_bootstrap.payload(ROOT, "web03", pki, tmp_path)
