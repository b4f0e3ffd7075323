"""Whether what a server offers works: its services are asked as the inventory says under ``health``."""

import contextlib
import http.client
import socket
import ssl
import time

SECONDS = 5
PAUSE = 0.5


def problems(services, seconds, others=dict):
    """
    Ask ``services`` until all answer as they should; return what those that do not answer instead (dict: name -> str).

    services (dict): name -> as ``insync_inventory.slice_for`` has them under ``health``. Of those with the same
    ``slot_of`` one has to work. seconds (float): for how long it is tried.
    others (callable): returns further problems, a dict as well.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = {**_failing(services), **others()}
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(PAUSE)


def _failing(services):
    found = {name: problem(service) for name, service in services.items()}
    work = {services[name].get("slot_of") for name, why in found.items() if not why} - {None}
    return {name: why for name, why in found.items() if why and services[name].get("slot_of") not in work}


def problem(service):
    """
    Return what is wrong with ``service`` (dict: address, port, protocol, name, health), "" if it works.

    A certificate is not judged here, but by ``insync.certificates``.
    """
    health = service["health"]
    if service["protocol"] == "udp":
        return ""
    try:
        with socket.create_connection((service["address"], service["port"]), SECONDS) as connection:
            connection.settimeout(SECONDS)
            if "banner" in health:
                return _banner(connection, health["banner"])
            for scheme in {"http", "https"} & set(health):
                return _page(connection, scheme, service["name"], **health[scheme])
            return ""
    except (OSError, http.client.HTTPException) as exc:
        return f"{service['unit']} does not answer at port {service['port']}: {exc or type(exc).__name__}"


def _banner(connection, expected):
    said = b""
    with contextlib.suppress(TimeoutError):
        while len(said) < len(expected) and (more := connection.recv(len(expected) - len(said))):
            said += more
    told = said.decode(errors="replace")
    return "" if told == expected else f"says {told!r}, not {expected!r}"


def _page(connection, scheme, name, path, status):
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection, server_hostname=name)
    asked = http.client.HTTPConnection(name)
    asked.sock = connection
    asked.request("GET", path, headers={"Host": name})
    got = asked.getresponse().status
    return "" if got == status else f"GET {scheme}://{name}{path} answers {got}, not {status}"
