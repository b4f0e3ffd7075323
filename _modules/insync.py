"""The operators' verbs on a server."""

import ipaddress
import socket

import psutil

__virtualname__ = "insync"


def __virtual__():
    return __virtualname__


def ports():
    """
    Compare the ports that this server listens on with those that the inventory declares.

    Returns a dict: ``declared``, ``missing`` (declared, but nothing listens) and ``undeclared`` (something listens that
    the inventory does not know), each a sorted list of str such as ``tcp/22``. Listeners on loopback do not count. Of
    the release slots of an application one has to listen.

    CLI Example:

    .. code-block:: bash

        salt '*' insync.ports
    """
    declared = {f"{rule['protocol']}/{rule['port']}" for rule in __pillar__["firewall"]["allow"]}
    found = _listening()
    for pool in __pillar__["slots"].values():
        ports = {f"tcp/{port}" for port in pool.values()}
        declared -= ports - found if ports & found else set()
    return {
        "declared": sorted(declared),
        "missing": sorted(declared - found),
        "undeclared": sorted(found - declared),
    }


def _listening():
    names = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
    return {
        f"{names[connection.type]}/{connection.laddr.port}"
        for connection in psutil.net_connections("inet")
        if _listens(connection) and not ipaddress.ip_address(connection.laddr.ip).is_loopback
    }


def _listens(connection):
    if connection.type == socket.SOCK_STREAM:
        return connection.status == psutil.CONN_LISTEN
    return not connection.raddr
