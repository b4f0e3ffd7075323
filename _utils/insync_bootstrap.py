"""What a new server needs to become a minion of this fleet, as files in one folder."""

import pathlib
import shutil
import sys

import insync_extmods
import insync_inventory
import jinja2

FILES = (
    "bootstrap/minion",
    "salt/salt_release/files/command",
    "salt/salt_release/files/install-salt",
    "salt/salt_minion/files/salt-minion.service",
)


def payload(checkout, host, pki, directory):
    """
    Fill ``directory`` with the files that ``bootstrap/minion`` installs on ``host``.

    checkout (str or pathlib.Path): the root of this repository, as deployed.
    host (str): the server's name in the inventory.
    pki (str or pathlib.Path): the master's key folder; its signing key goes along as the trust anchor.
    directory (str or pathlib.Path): an existing, empty folder.
    Raises insync_inventory.InventoryError if there is no such server.
    """
    checkout, directory = pathlib.Path(checkout), pathlib.Path(directory)
    for name in FILES:
        shutil.copy(checkout / name, directory)
    shutil.copy(pathlib.Path(pki, "master_sign.pub"), directory)
    extmods(checkout, directory / "extmods")
    inventory = insync_inventory.load(checkout / "pillar" / "inventory")
    (directory / "minion.conf").write_text(_minion_config(checkout, inventory, host), encoding="utf-8")


def extmods(checkout, directory):
    """
    Put into ``directory`` what `salt-run insync.sync` would bring, file by file; a minion keeps it as this is.

    checkout (pathlib.Path): the root of this repository. directory (pathlib.Path): may be there, but nothing in it.
    """
    for kind in insync_extmods.KINDS:
        bytecode = shutil.ignore_patterns("__pycache__")
        shutil.copytree(checkout / f"_{kind}", directory / kind, ignore=bytecode)


def _minion_config(checkout, inventory, host):
    """The same template, with the same values, as the state salt-minion-config: the first highstate changes nothing."""
    pillar = insync_inventory.slice_for(inventory, host)
    template = (checkout / "salt/salt_minion/files/minion.j2").read_text(encoding="utf-8")
    minion = {"id": pillar["host"]["name"], "master": pillar["salt"]["master_address"]}
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(minion=minion)


if __name__ == "__main__":
    payload(*sys.argv[1:])
