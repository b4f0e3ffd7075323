"""Which arrows the picture of the fleet has."""

import insync_fleet_picture
import pytest
from insync_fleet_picture import FLEET

HOSTS = {"gate": "edge", "lb": "edge", "web1": "web", "web2": "web", "db": "data"}
WORLD, GATE, LB, DB = ("world", "world"), ("host", "gate"), ("host", "lb"), ("host", "db")
WEB1, WEB = ("host", "web1"), ("tier", "web")


def fleet(services, **roles):
    """An inventory with the servers above; ``services`` is {name: (role, clients)}."""
    return {
        "hosts": {
            name: {"tier": tier, "roles": roles.get(name, []), "private": "10.0.0.1", "purpose": 'say "<x>" & \\'}
            for name, tier in HOSTS.items()
        },
        "services": {
            name: {"role": role, "clients": clients, "port": port, "protocol": "tcp"}
            for port, (name, (role, clients)) in enumerate(services.items(), 1)
        },
    }


@pytest.mark.parametrize(
    ("services", "roles", "expected"),
    [
        ({}, {}, {}),
        ({"way": ("in", ["world"])}, {"gate": ["in"]}, {(WORLD, GATE): ["way"]}),
        ({"ssh": ("base", ["in"])}, {"gate": ["in"]}, {(GATE, FLEET): ["ssh"]}),
        ({"salt": ("in", ["base"])}, {"gate": ["in"]}, {(FLEET, GATE): ["salt"]}),
        (
            {"publish": ("in", ["base"]), "return": ("in", ["base"])},
            {"gate": ["in"]},
            {(FLEET, GATE): ["publish", "return"]},
        ),
        ({"sql": ("sql", ["web"])}, {"web1": ["web"], "web2": ["web"], "db": ["sql"]}, {(WEB, DB): ["sql"]}),
        ({"sql": ("sql", ["web"])}, {"web1": ["web"], "db": ["sql"]}, {(WEB1, DB): ["sql"]}),
        ({"http": ("web", ["lb"])}, {"web1": ["web"], "web2": ["web"], "lb": ["lb"]}, {(LB, WEB): ["http"]}),
        ({"http": ("web", ["world"])}, {"web1": ["web"], "web2": ["web"]}, {(WORLD, WEB): ["http"]}),
        # Inside its own tier, a server is drawn alone: the frame is around both ends.
        (
            {"http": ("edge", ["edge"])},
            {"gate": ["edge"], "lb": ["edge"]},
            {(LB, GATE): ["http"], (GATE, LB): ["http"]},
        ),
        # A tier with one server has no frame to point at.
        ({"sql": ("sql", ["lb"])}, {"lb": ["lb"], "db": ["sql"]}, {(LB, DB): ["sql"]}),
    ],
)
def test_arrows(services, roles, expected):
    assert insync_fleet_picture.arrows(fleet(services, **roles)) == expected


def test_everything_that_is_written_can_be_drawn():
    services = {"way": ("in", ["world"]), "ssh": ("base", ["in"]), "salt": ("in", ["base"]), "sql": ("sql", ["web"])}
    inventory = fleet(services, gate=["in"], web1=["web"], web2=["web"], db=["sql"])
    source = insync_fleet_picture.dot(inventory)
    picture = insync_fleet_picture.svg(source)
    assert insync_fleet_picture.drawn_from(picture) == insync_fleet_picture.digest(source)
    for text in (*HOSTS, "world", "every other server", "way 1", "salt 3"):
        assert text in picture


def test_two_arrows_between_the_same_ends_are_written_side_by_side():
    source = insync_fleet_picture.dot(fleet({"ssh": ("base", ["in"]), "salt": ("in", ["base"])}, gate=["in"]))
    assert source.count('"gate" -> "every other server"') == 2
    assert source.count("dir=back") == 1


def test_what_dot_refuses_is_said():
    with pytest.raises(RuntimeError, match="dot: .*syntax error"):
        insync_fleet_picture.svg("digraph {")


def test_a_picture_of_something_else_was_drawn_from_nothing_that_is_known():
    assert insync_fleet_picture.drawn_from("<svg/>") == ""
