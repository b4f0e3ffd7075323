"""What systemd is told, over the socket that it names; nothing where there is none."""

import os
import socket


def notify(text):
    """Send ``text``, such as READY=1."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1)
            sender.sendto(text.encode(), address)
    except OSError:
        # systemd notices by itself that it hears nothing.
        pass


def watchdog_seconds():
    """Return how often systemd wants to hear WATCHDOG=1, or 0."""
    mine = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
    return int(os.environ.get("WATCHDOG_USEC") or 0) / 1e6 if mine else 0
