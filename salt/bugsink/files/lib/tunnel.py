"""
Usage: tunnel.py HOST PORT

Joins standard input and output with HOST: so an operator's browser comes in over ssh, though sshd forwards nothing.
"""

import os
import socket
import sys
import threading


def copy(read, write):
    """Write what is read, until there is no more."""
    while chunk := read(65536):
        write(chunk)


connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
inwards = (lambda size: os.read(0, size)), connection.sendall
threading.Thread(target=copy, args=inwards, daemon=True).start()
copy(connection.recv, lambda chunk: os.write(1, chunk))
