"""What listens, against what is declared; in a network where nothing listens but the test."""

import socket

import pytest

from tests.functional.private import command, private_world


@pytest.fixture
def opts(opts):
    rules = [{"protocol": "tcp", "port": 22}, {"protocol": "tcp", "port": 58878}, {"protocol": "udp", "port": 53}]
    opts["pillar"] = {"firewall": {"allow": rules}, "slots": {}}
    return opts


def listen(kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, kind)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


@private_world
def test_missing_and_undeclared_ports_are_told(modules):
    command("ip", "link", "set", "lo", "up")
    servers = [
        listen(socket.SOCK_STREAM, "0.0.0.0", 22),
        listen(socket.SOCK_STREAM, "::", 8080),
        listen(socket.SOCK_DGRAM, "0.0.0.0", 53),
        listen(socket.SOCK_STREAM, "127.0.0.1", 6379),
        listen(socket.SOCK_DGRAM, "127.0.0.53", 5353),
    ]
    client = socket.create_connection(("127.0.0.1", 22))
    assert modules["insync.ports"]() == {
        "declared": ["tcp/22", "tcp/58878", "udp/53"],
        "missing": ["tcp/58878"],
        "undeclared": ["tcp/8080"],
    }
    for one in [client, *servers]:
        one.close()


@pytest.mark.parametrize(
    "listening, missing, undeclared",
    [
        ([8101], [], []),
        ([8102], [], []),
        ([8101, 8102], [], []),
        ([], ["tcp/8101", "tcp/8102"], []),
        ([8103], ["tcp/8101", "tcp/8102"], ["tcp/8103"]),
    ],
)
def test_of_the_slots_of_an_application_one_has_to_listen(opts, modules, listening, missing, undeclared):
    opts["pillar"]["firewall"]["allow"] = [{"protocol": "tcp", "port": port} for port in (8101, 8102)]
    opts["pillar"]["slots"] = {"web": {"blue": 8101, "green": 8102}}

    @private_world
    def told():
        servers = [listen(socket.SOCK_STREAM, "0.0.0.0", port) for port in listening]
        ports = modules["insync.ports"]()
        for server in servers:
            server.close()
        assert (ports["missing"], ports["undeclared"]) == (missing, undeclared)

    told()
