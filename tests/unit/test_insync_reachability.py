"""The table of who reaches whom is the firewall's, drawn."""

import pathlib
import re
import xml.etree.ElementTree

import insync_inventory
import insync_reachability
import pytest

INVENTORY = insync_inventory.load(pathlib.Path(__file__).resolve().parents[2] / "pillar" / "inventory")
SERVERS = list(INVENTORY["hosts"])
MATRIX = insync_reachability.matrix(INVENTORY)


@pytest.mark.parametrize("server", SERVERS)
def test_it_is_what_the_firewall_lets_in(server):
    addresses = {host["private"]: name for name, host in INVENTORY["hosts"].items()}
    allowed = {}
    for rule in insync_inventory.allow(INVENTORY, server):
        public = rule["sources"] == ["world"]
        sources = ["world", *SERVERS] if public else [addresses[source] for source in rule["sources"]]
        for source in set(sources) - {server}:
            allowed.setdefault(source, set()).add((rule["network"], rule["port"]))
    drawn = {source: set(ports) for (source, other), ports in MATRIX.items() if other == server}
    assert drawn == allowed


def test_every_server_asks_and_answers_and_every_port_is_drawn():
    root = xml.etree.ElementTree.fromstring(insync_reachability.svg(INVENTORY))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(texts.count(server) == 2 for server in SERVERS) and texts.count("world") == 1
    ports = [int(text) for text in texts if re.fullmatch("[0-9]+", text)]
    # What the world may ask stands in its row only.
    shown = [
        port
        for (source, _), found in MATRIX.items()
        for network, port in found
        if network == "private" or source == "world"
    ]
    assert sorted(ports) == sorted(shown)
